use super::super::{Contents, Layout};

fn contents(layouts: &[Layout]) -> Contents {
    let mut contents = Contents::default();
    layouts.iter().cloned().for_each(|layout| contents.reserve(layout));
    contents
}

fn keyed(name: &str, keys: &[&str]) -> Layout {
    let keys: Vec<_> = keys.iter().map(|key| (*key).to_owned()).collect();
    Layout { keys: vec![keys.clone()], lanes: 2, ..Layout::new(name, 1, 8, keys.len()) }
}

#[test]
fn what_is_written_is_read_again() {
    let contents = contents(&[Layout::new("a", 1, 8, 1), keyed("b", &["x", "y"]), Layout::new("c", 2, 128, 10)]);
    let text = serde_json::to_vec(&contents).unwrap();
    let end = contents.sections[2].offset + contents.sections[2].length;
    assert_eq!(Contents::parse(&text, end), Some(contents.clone()));
    assert_eq!(Contents::parse(&text, end - 1), None);
    assert_eq!(contents.differences(&contents), [""; 0]);
}

#[test]
fn a_table_that_contradicts_itself_is_refused() {
    let contents = contents(&[keyed("a", &["x", "y"]), Layout::new("b", 1, 8, 10)]);
    let refused = |change: fn(&mut Contents)| {
        let mut changed = contents.clone();
        change(&mut changed);
        Contents::parse(&serde_json::to_vec(&changed).unwrap(), 1 << 20).is_none()
    };
    assert!(!refused(|_| ()));
    assert!(refused(|contents| contents.sections[1].layout.name = "a".to_owned()));
    assert!(refused(|contents| contents.sections[1].offset -= 8));
    assert!(refused(|contents| contents.sections[0].offset -= 8));
    assert!(refused(|contents| contents.sections[1].offset += 4));
    assert!(refused(|contents| contents.sections[1].length = usize::MAX));
    assert!(refused(|contents| contents.sections[1].layout.count = 11));
    assert!(refused(|contents| contents.sections[1].layout.count = usize::MAX));
    assert!(refused(|contents| contents.sections[1].layout.element_bytes = 0));
    assert!(refused(|contents| contents.sections[1].layout.lanes = 0));
    assert!(refused(|contents| contents.sections[1].layout.lanes = usize::MAX));
    assert!(refused(|contents| contents.sections[0].layout.keys[0][1] = "x".to_owned()));
    assert!(refused(|contents| contents.sections[0].layout.keys.push(Vec::new())));
    assert_eq!(Contents::parse(b"{", 1 << 20), None);
    assert_eq!(Contents::parse(b"\xff", 1 << 20), None);
}

#[test]
fn a_difference_names_the_section_and_what_changed() {
    let before = contents(&[keyed("a", &["x", "y"]), Layout::new("b", 1, 8, 10), Layout::new("c", 1, 8, 1)]);
    let after = contents(&[keyed("a", &["y", "z"]), Layout::new("b", 2, 8, 20), Layout::new("d", 1, 8, 1)]);
    assert_eq!(
        before.differences(&after),
        ["c: not used", "d: new", "a: without x; with z", "b: version 1 -> 2; elements 10 -> 20"]
    );
    assert_eq!(
        contents(&[keyed("a", &["x", "y"])]).differences(&contents(&[keyed("a", &["y", "x"])])),
        ["a: keys in a different order"]
    );
    let [one, other] = [Layout::new("a", 1, 8, 1), Layout::new("b", 1, 8, 1)];
    assert_eq!(
        contents(&[one.clone(), other.clone()]).differences(&contents(&[other, one])),
        ["sections at different offsets"]
    );
}

#[test]
fn sections_and_their_lanes_start_on_a_pair_of_cache_lines() {
    let lanes = Layout { lanes: 3, ..Layout::new("b", 1, 8, 17) };
    let contents = contents(&[Layout::new("a", 1, 8, 1), lanes, Layout::new("c", 1, 8, 1)]);
    let [_, lanes, next] = contents.sections.as_slice() else { panic!("{contents:?}") };
    assert_eq!((lanes.offset % 128, lanes.length), (0, 3 * 32 * 8));
    assert_eq!(next.offset, lanes.offset + lanes.length);
}
