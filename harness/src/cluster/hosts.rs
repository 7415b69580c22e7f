//! The file of addresses: a line `HOST:PORT` for each process, in the order of their numbers.
use crate::Error;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::Path;

/// The processes, and which one this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts {
    /// The number of this one.
    pub process: usize,
    /// Where each listens.
    pub addresses: Vec<String>,
}

impl Hosts {
    /// Reads a file for so many processes.
    pub fn read(path: &Path, processes: usize, process: usize) -> Result<Hosts, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|why| Error::failed(format!("read hostfile {}", path.display()), why))?;
        let hosts = Hosts::parse(&text, processes, process);
        hosts.map_err(|why| Error::Usage(format!("cannot use hostfile {}: {why}", path.display())))
    }

    fn parse(text: &str, processes: usize, process: usize) -> Result<Hosts, String> {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        let addresses: Vec<String> = lines.filter(|line| !line.is_empty()).map(str::to_owned).collect();
        for address in &addresses {
            let port = address.rsplit_once(':').and_then(|(host, port)| {
                port.parse::<u16>().ok().filter(|port| *port > 0 && !host.is_empty())
            });
            if port.is_none() {
                return Err(format!("'{address}' is no HOST:PORT such as 127.0.0.1:2101"));
            }
        }
        if addresses.len() != processes {
            let length = addresses.len();
            return Err(format!(
                "it has {length} addresses, and --processes says {processes}: one a line each"
            ));
        }
        if addresses.iter().collect::<BTreeSet<_>>().len() != processes {
            return Err("an address stands in it twice: each process listens on its own".into());
        }
        if process >= processes {
            return Err(format!(
                "--process {process} is none of {processes} processes: they are numbered 0 to {}",
                processes - 1
            ));
        }
        Ok(Hosts { process, addresses })
    }

    /// A number that differs for different files.
    pub fn digest(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(self.addresses.join("\n").as_bytes())
    }

    /// Where a process listens. A public address is refused: what goes over the connections is neither encrypted nor guarded.
    pub fn resolve(&self, process: usize) -> Result<SocketAddr, String> {
        let address = &self.addresses[process];
        let mut found =
            address.to_socket_addrs().map_err(|why| format!("cannot resolve {address}: {why}"))?;
        let found = found.next().ok_or_else(|| format!("{address} has no address"))?;
        match is_private(found.ip()) {
            true => Ok(found),
            false => Err(format!(
                "{address} is neither a loopback nor a private address: processes talk without password or encryption, so put \
                 them on a private network"
            )),
        }
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(v6) => {
            let head = v6.segments()[0];
            v6.is_loopback() || head & 0xfe00 == 0xfc00 || head & 0xffc0 == 0xfe80
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostfile_names_each_process_once() {
        let text = "# two\n127.0.0.1:2101\n\n10.0.0.2:2101 # the other\n";
        let hosts = Hosts::parse(text, 2, 1).unwrap();
        assert_eq!(hosts.addresses, ["127.0.0.1:2101", "10.0.0.2:2101"]);
        assert_eq!((hosts.resolve(0).is_ok(), hosts.resolve(1).is_ok()), (true, true));
        for (text, processes, process, said) in [
            (text, 3, 0, "it has 2 addresses, and --processes says 3"),
            (text, 2, 2, "--process 2 is none of 2 processes"),
            ("a:1\na:1", 2, 0, "twice"),
            ("a\nb:1", 2, 0, "'a' is no HOST:PORT"),
            ("a:0\nb:1", 2, 0, "'a:0' is no HOST:PORT"),
        ] {
            let why = Hosts::parse(text, processes, process).unwrap_err();
            assert!(why.contains(said), "{why}");
        }
        let public = Hosts { process: 0, addresses: vec!["8.8.8.8:1".into(), "0.0.0.0:1".into()] };
        assert!(public.resolve(0).unwrap_err().contains("private network"));
        assert!(public.resolve(1).is_err());
    }
}
