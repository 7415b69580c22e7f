//! The pieces of a tick, whichever process holds them.
use super::Ticker;
use crate::Error;
use crate::clock::Moment;
use crate::ticks::Piece;

impl Ticker {
    pub(super) fn no_piece(&self) -> Error {
        let lost = self.shared.parts.as_ref().and_then(|parts| parts.failure());
        lost.unwrap_or_else(|| Error::failed("decode a tick", "a decoding thread ended"))
    }

    /// Decoded for the tables of the moment: a table may have come since the piece was decoded.
    pub(super) fn fresh(&self, piece: Piece) -> Result<Piece, Error> {
        let tables = self.shared.tables.read().expect("no thread panics with the tables").clone();
        match (piece.away, &self.shared.parts) {
            (Some(away), _) if away.tables == tables.number => Ok(Piece { tables, ..piece }),
            (Some(away), Some(parts)) => {
                let piece = parts.again(away, tables.number)?;
                Ok(Piece { tables, ..piece })
            }
            _ if std::sync::Arc::ptr_eq(&tables, &piece.tables) => Ok(piece),
            _ => Ok(Piece { decoded: tables.decoder.decode(&piece.records), tables, ..piece }),
        }
    }

    /// Takes the events of a tick in, in the order of the log.
    pub(super) fn take_in(&mut self, moment: Moment, pieces: Vec<Piece>) -> Result<(), Error> {
        let shared = self.shared.clone();
        for mut piece in pieces {
            let away = piece.away.zip(shared.parts.as_deref());
            if let Some((_, parts)) = away {
                let intake = shared.intake.lock().expect("no thread panics with the intake");
                let wanted = intake.wanted(moment, &piece.records, &piece.decoded);
                drop(intake);
                parts.fetch(&mut piece, wanted)?;
            }
            let mut intake = shared.intake.lock().expect("no thread panics with the intake");
            let (rows, dropped) = intake.take(moment, &piece.records, piece.decoded);
            for (mapping, batch) in rows {
                let table = &piece.tables.mappings[mapping].table.name;
                self.recorder.rows(table, &batch);
                // Those of another process go to its own workers.
                if away.is_none() {
                    self.rows.push((table.clone(), batch));
                }
            }
            self.recorder.added(&mut intake);
            if let Some((away, parts)) = away {
                parts.count(away, dropped);
            }
        }
        Ok(())
    }
}
