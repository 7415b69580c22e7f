//! `Bounded`: a socket that reads no message larger than a limit. The codec behind it would take a gigabyte.
use bytes::{Buf, BytesMut};
use datafusion_postgres::pgwire::tokio::TlsAcceptor;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
/// The first message has names and values of settings only.
const START_BYTES_MAX: usize = 10_000;

/// A socket, encrypted or not.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Stream for T {}

/// The socket, and where it is between messages.
pub(super) struct Bounded {
    socket: Box<dyn Stream>,
    is_secure: bool,
    /// Read already, and not yet by the codec.
    front: BytesMut,
    place: Place,
    bytes_max: usize,
}

#[derive(Debug)]
enum Place {
    /// The length of the first message, which has no type.
    Start(Vec<u8>),
    /// The type and the length of another.
    Head(Vec<u8>),
    /// Inside, with so many bytes to come.
    Body(usize),
}

impl Bounded {
    /// Answers requests for encryption, and stands before the first message.
    pub(super) async fn negotiated(
        socket: TcpStream,
        tls: Option<&TlsAcceptor>,
        bytes_max: usize,
    ) -> io::Result<Bounded> {
        let mut socket: Box<dyn Stream> = Box::new(socket);
        let (mut head, mut is_secure) = ([0; 8], false);
        // A client asks for each kind at most once.
        for _ in 0..3 {
            socket.read_exact(&mut head).await?;
            let code = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
            if head[..4] != [0, 0, 0, 8] || !matches!(code, SSL_REQUEST | GSS_REQUEST) {
                let mut place = Place::Start(vec![]);
                place.walk(&head, bytes_max)?;
                return Ok(Bounded { socket, is_secure, front: BytesMut::from(&head[..]), place, bytes_max });
            }
            match tls {
                // What the client sent behind its request is not read as if it had been encrypted.
                Some(tls) if code == SSL_REQUEST && !is_secure => {
                    socket.write_all(b"S").await?;
                    socket = Box::new(tls.accept(socket).await?);
                    is_secure = true;
                }
                _ => socket.write_all(b"N").await?,
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "encryption was refused, and asked for again"))
    }

    /// Whether it is encrypted.
    pub(super) fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// Reads messages of so many bytes from now on.
    pub(super) fn widen(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }
}

impl Place {
    /// Goes over bytes that were read.
    fn walk(&mut self, mut bytes: &[u8], bytes_max: usize) -> io::Result<()> {
        while !bytes.is_empty() {
            let (head, size, limit) = match self {
                Place::Body(left) => {
                    let step = bytes.len().min(*left);
                    *left -= step;
                    bytes = &bytes[step..];
                    if *left == 0 {
                        *self = Place::Head(Vec::with_capacity(5));
                    }
                    continue;
                }
                Place::Start(head) => (head, 4, START_BYTES_MAX.min(bytes_max)),
                Place::Head(head) => (head, 5, bytes_max),
            };
            let step = bytes.len().min(size - head.len());
            head.extend_from_slice(&bytes[..step]);
            bytes = &bytes[step..];
            if head.len() < size {
                continue;
            }
            let length =
                head[size - 4..].iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
            if length < 4 || length > limit {
                let text = format!("a message of {length} bytes: at most {limit} are read");
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            *self = match length {
                4 => Place::Head(Vec::with_capacity(5)),
                length => Place::Body(length - 4),
            };
        }
        Ok(())
    }
}

impl AsyncRead for Bounded {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.front.has_remaining() {
            let step = this.front.len().min(buf.remaining());
            buf.put_slice(&this.front.split_to(step));
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut this.socket).poll_read(cx, buf))?;
        Poll::Ready(this.place.walk(&buf.filled()[before..], this.bytes_max))
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_measured_wherever_reads_cut_it() {
        let mut bytes = vec![0, 0, 0, 8, 0, 3, 0, 0];
        bytes.extend([b'S', 0, 0, 0, 4]);
        bytes.extend([b'Q', 0, 0, 0, 6, b'a', 0]);
        for cut in 1..bytes.len() {
            let mut place = Place::Start(vec![]);
            for part in bytes.chunks(cut) {
                place.walk(part, 8).expect("every message is small");
            }
            assert!(matches!(&place, Place::Head(head) if head.is_empty()), "{cut}: {place:?}");
            assert!(place.walk(&[b'Q', 0, 0, 0, 9], 8).is_err());
        }
    }
}
