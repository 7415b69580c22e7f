//! The new version of a view among the dataflows, until it takes the old one's place.
use super::Local;
use std::sync::Arc;

impl Local<'_> {
    /// The new version of a view takes the name of the old one, which ends.
    pub(super) fn replace_view(&mut self, name: &Arc<str>) {
        self.drop_view(name);
        let new = beside(name);
        if let Some(state) = self.views.remove(&new) {
            for used in &state.uses {
                let used = self.shared.arrangements.get_mut(used).expect("what is read is there");
                used.users.remove(&format!("view {new}"));
                used.users.insert(format!("view {name}"));
            }
            self.views.insert(name.clone(), state);
        }
        if let Some(tap) = self.shared.taps.remove(&new) {
            self.shared.taps.insert(name.clone(), tap);
        }
    }
}

/// The name of the new version of a view, until it takes the old one's place. No table or view has such a name.
pub(super) fn beside(name: &str) -> Arc<str> {
    format!("{name}\u{1}new").into()
}
