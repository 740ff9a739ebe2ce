//! Which callbacks messages are counted from. OpenIM can report each message twice: when it is accepted, and when it is
//! stored.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::domain::{Chat, Message, MessageSource, Stage};

/// The stage at which messages are counted: for those in groups, and for those between two users.
#[derive(Debug)]
pub(super) struct Stages([AtomicU8; 2]);

/// Not yet known.
const NONE: u8 = 0;

impl Stages {
    pub(super) fn new(source: MessageSource) -> Self {
        let stage = match source {
            MessageSource::Auto => NONE,
            MessageSource::AfterSend => number(Stage::Sent),
            MessageSource::AfterSave => number(Stage::Stored),
        };
        Self([AtomicU8::new(stage), AtomicU8::new(stage)])
    }

    /// Whether a message is counted. Otherwise it is, or was, also reported at the other stage.
    #[inline]
    pub(super) fn counts(&self, message: &Message<'_>) -> bool {
        let Self([in_groups, single]) = self;
        let chosen = match message.chat() {
            Chat::Group => in_groups,
            Chat::Single => single,
        };
        let stage = number(message.stage);
        match chosen.load(Ordering::Relaxed) {
            NONE => match chosen.compare_exchange(NONE, stage, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => true,
                Err(first) => first == stage,
            },
            chosen => chosen == stage,
        }
    }
}

const fn number(stage: Stage) -> u8 {
    match stage {
        Stage::Sent => 1,
        Stage::Stored => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_callback_of_each_kind_decides_unless_it_is_configured() {
        let sent = Message::of("g", "u");
        let stored = Message { stage: Stage::Stored, ..sent };
        let [single, single_stored] = [sent, stored].map(|message| Message { group_id: None, ..message });
        let counted = |stages: &Stages, messages: &[Message<'_>]| -> Vec<_> {
            messages.iter().map(|message| stages.counts(message)).collect()
        };
        let auto = Stages::new(MessageSource::Auto);
        let mixed = [stored, sent, single, single_stored, stored, single];
        assert_eq!(counted(&auto, &mixed), [true, false, true, false, true, true]);
        let sends = Stages::new(MessageSource::AfterSend);
        assert_eq!(counted(&sends, &mixed), [false, true, true, false, false, true]);
        let saves = Stages::new(MessageSource::AfterSave);
        assert_eq!(counted(&saves, &mixed), [true, false, false, true, true, false]);
    }
}
