//! `Progress`: how far the reading of files has come, drawn on a terminal and nowhere else.
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

const STYLE: &str =
    "{bar:32} {percent:>3}%  {msg} events  {decimal_bytes_per_sec}  {elapsed_precise}, {eta} to go";

/// A bar over the bytes of the files, as they lie on the disk.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar on stderr if that is a terminal; else one that draws nothing.
    pub fn new(bytes_total: u64) -> Progress {
        let target = match std::io::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr_with_hz(10),
            false => ProgressDrawTarget::hidden(),
        };
        let style = ProgressStyle::with_template(STYLE).expect("STYLE is a template");
        Progress { bar: ProgressBar::with_draw_target(Some(bytes_total), target).with_style(style) }
    }

    /// Shows how many events and bytes were read so far.
    pub fn update(&self, events: u64, bytes: u64) {
        if !self.bar.is_hidden() {
            self.bar.set_message(events.to_string());
            self.bar.set_position(bytes);
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::TermLike;
    use std::io;
    use std::sync::{Arc, Mutex};

    /// A terminal that keeps all that was ever written to it.
    #[derive(Clone, Debug, Default)]
    struct Paper(Arc<Mutex<String>>);

    impl TermLike for Paper {
        fn width(&self) -> u16 {
            120
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_bar_shows_share_events_and_rate() {
        let paper = Paper::default();
        let progress = Progress::new(4_000);
        progress.bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(paper.clone())));
        progress.update(1_234, 1_000);
        progress.bar.tick();
        let shown = paper.0.lock().unwrap().clone();
        assert!(shown.contains(" 25%  1234 events  ") && shown.contains("/s  "), "{shown}");
        assert!(shown.trim_end().ends_with(" to go"), "{shown}");
        progress.finish();
    }
}
