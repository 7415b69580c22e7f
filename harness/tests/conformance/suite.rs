//! What every sink has to do, on whatever store: the same calls, the same answers. A store joins by implementing [`Place`].
use super::rows::{Given, Kind, types_view, view};
use dataflows::Position;
use sinks::delivery::{Delivery, Part, definition};
use sinks::memory::kept::Kept;
use sinks::{Content, Held, Sink, SinkError};

/// A store of its own, empty.
pub trait Place {
    /// A writer of it.
    fn writer(&self, pipeline: &str) -> Box<dyn Sink>;
}

pub fn positions(offset: u64) -> Vec<Position> {
    vec![Position { partition: 0, offset }, Position { partition: 3, offset: 2 * offset }]
}

pub fn delivery(from: Option<u64>, to: u64, parts: Vec<Part>) -> Delivery {
    Delivery { from, to, positions: positions(to), parts, dropped: vec![] }
}

/// The rows as a store must give them back.
pub fn expected(kept: &Kept, time: u64) -> Content {
    let mut rows = vec![];
    for stand in Part::whole(kept.clone()).stands() {
        let mut text = String::new();
        kept.shape().write_json(stand.row.unwrap(), &mut text);
        rows.push((text, stand.count));
    }
    rows.sort();
    Content { time: Some(time), rows }
}

/// The store holds the view as it is.
pub fn holds(sink: &mut dyn Sink, kept: &Kept, time: u64) {
    let found = sink.read(kept.shape().view()).unwrap();
    let wanted = expected(kept, time);
    for (found, wanted) in found.rows.iter().zip(&wanted.rows) {
        assert_eq!(found, wanted, "view {}", kept.shape().view().name);
    }
    assert_eq!(found, wanted, "view {}", kept.shape().view().name);
}

/// All that a sink has to do.
pub fn all(place: &dyn Place) {
    let mut sink = place.writer("p");
    assert_eq!(sink.open().unwrap(), Held::default());
    let missing = view("missing", Kind::Keyed);
    assert_eq!(sink.read(&missing).unwrap().time, None);

    let mut given = Given::new();
    let keyed = given.create(&view("keyed", Kind::Keyed));
    let nullable = given.create(&view("Nullable \"keys\"", Kind::NullableKeys));
    let counted = given.create(&view("counted", Kind::Keyless));
    let single = given.create(&view("single", Kind::NoKeyColumn));
    let types = given.create(&types_view());
    let names = [&keyed, &nullable, &counted, &single, &types];

    // The first rows.
    given.first_rows(10);
    let whole = names.map(|name| Part::whole(given.kept(name))).to_vec();
    sink.apply(&delivery(None, 10, whole)).unwrap();
    names.iter().for_each(|name| holds(sink.as_mut(), &given.kept(name), 10));
    let definitions = |given: &Given, names: &[&String]| {
        let mut list: Vec<_> = names
            .iter()
            .map(|name| {
                let view = given.kept(name).shape().view().clone();
                (view.name.clone(), definition(&view))
            })
            .collect();
        list.sort();
        list
    };
    let said = |held: Held| {
        (held.time, held.positions, {
            let mut views = held.views;
            views.sort();
            views
        })
    };
    let mut other = place.writer("p");
    assert_eq!(said(other.open().unwrap()), (Some(10), positions(10), definitions(&given, &names)));

    // Who was replaced writes nothing; who is in place goes on.
    given.change(20);
    let changed = names.map(|name| given.changed(name)).to_vec();
    let next = delivery(Some(10), 20, changed);
    assert!(matches!(sink.apply(&next).unwrap_err(), SinkError::Fenced(_)));
    names
        .iter()
        .for_each(|name| assert_eq!(other.read(given.kept(name).shape().view()).unwrap().time, Some(10)));
    other.apply(&next).unwrap();
    let mut sink = other;
    names.iter().for_each(|name| holds(sink.as_mut(), &given.kept(name), 20));

    // The same once more, or from where the store is not, changes nothing.
    assert!(matches!(sink.apply(&next).unwrap_err(), SinkError::Moved(_)));
    assert_eq!(sink.open().unwrap().time, Some(20));
    assert!(matches!(sink.apply(&delivery(Some(15), 30, vec![])).unwrap_err(), SinkError::Moved(_)));
    assert!(matches!(sink.apply(&delivery(None, 30, vec![])).unwrap_err(), SinkError::Moved(_)));
    sink.open().unwrap();
    names.iter().for_each(|name| holds(sink.as_mut(), &given.kept(name), 20));

    // Only the time, then rows back and forth.
    sink.apply(&delivery(Some(20), 30, vec![])).unwrap();
    names.iter().for_each(|name| holds(sink.as_mut(), &given.kept(name), 30));
    for (from, to) in [(30, 40), (40, 50), (50, 60), (60, 70)] {
        given.change(to);
        let changed = names.map(|name| given.changed(name)).to_vec();
        sink.apply(&delivery(Some(from), to, changed)).unwrap();
        names.iter().for_each(|name| holds(sink.as_mut(), &given.kept(name), to));
    }

    // Whole in place of what is there, also with a key and columns of another kind; one is dropped.
    given.create(&view("keyed", Kind::Keyless));
    given.change(80);
    let parts =
        vec![Part::whole(given.kept(&keyed)), Part::whole(given.kept(&types)), given.changed(&counted)];
    let dropped = vec![nullable.as_str().into()];
    sink.apply(&Delivery {
        dropped,
        ..delivery(Some(70), 80, [parts, vec![given.changed(&single)]].concat())
    })
    .unwrap();
    let names = [&keyed, &counted, &single, &types];
    names.iter().for_each(|name| holds(sink.as_mut(), &given.kept(name), 80));
    assert_eq!(sink.read(given.kept(&nullable).shape().view()).unwrap().time, None);
    let held = said(sink.open().unwrap());
    assert_eq!(held, (Some(80), positions(80), definitions(&given, &names)));

    // Many rows.
    let many = given.create(&view("many", Kind::Keyed));
    given.many(&many, 10_007, 90);
    sink.apply(&delivery(Some(80), 90, vec![Part::whole(given.kept(&many))])).unwrap();
    holds(sink.as_mut(), &given.kept(&many), 90);
    given.many_changed(&many, 100);
    sink.apply(&delivery(Some(90), 100, vec![given.changed(&many)])).unwrap();
    holds(sink.as_mut(), &given.kept(&many), 100);

    // What another pipeline filled holds nothing of this one's, and its writer is fenced.
    let mut stranger = place.writer("q");
    let held = stranger.open().unwrap();
    assert_eq!(held.time, None);
    assert!(
        held.views
            .iter()
            .all(|(name, held)| definitions(&given, &names).iter().all(|(n, d)| n != name || d != held))
    );
    let late = delivery(Some(100), 110, vec![]);
    assert!(matches!(sink.apply(&late).unwrap_err(), SinkError::Fenced(_)));
    stranger.apply(&delivery(None, 5, vec![Part::whole(given.kept(&counted))])).unwrap();
    holds(stranger.as_mut(), &given.kept(&counted), 5);
}
