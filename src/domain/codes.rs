//! OpenIM's numeric codes and the label values for them.

use super::event::Chat;
use super::message::Source;

/// OpenIM's content types, ascending by code. Source: the sender's constants (`constant.go`).
pub const CONTENT_TYPES: &[(i32, &str)] = &[
    (101, "text"),
    (102, "picture"),
    (103, "voice"),
    (104, "video"),
    (105, "file"),
    (106, "at_text"),
    (107, "merger"),
    (108, "card"),
    (109, "location"),
    (110, "custom"),
    (111, "revoke"),
    (113, "typing"),
    (114, "quote"),
    (115, "face"),
    (117, "advanced_text"),
    (118, "markdown_text"),
    (119, "custom_not_trigger_conversation"),
    (120, "custom_online_only"),
    (121, "reaction_message_modifier"),
    (122, "reaction_message_deleter"),
    (200, "common"),
    (201, "group_msg"),
    (202, "signal_msg"),
    (203, "custom_notification"),
    (1400, "oa_notification"),
    (1501, "group_created"),
    (1502, "group_info_set"),
    (1503, "join_group_application"),
    (1504, "member_quit"),
    (1505, "group_application_accepted"),
    (1506, "group_application_rejected"),
    (1507, "group_owner_transferred"),
    (1508, "member_kicked"),
    (1509, "member_invited"),
    (1510, "member_enter"),
    (1511, "group_dismissed"),
    (1512, "group_member_muted"),
    (1513, "group_member_cancel_muted"),
    (1514, "group_muted"),
    (1515, "group_cancel_muted"),
    (1516, "group_member_info_set"),
    (1517, "group_member_set_to_admin"),
    (1518, "group_member_set_to_ordinary_user"),
    (1519, "group_info_set_announcement"),
    (1520, "group_info_set_name"),
    (2001, "business_notification"),
    (2101, "msg_revoke_notification"),
    (2102, "delete_msgs_notification"),
    (2200, "has_read_receipt"),
];

/// The label values of OpenIM's platforms. A platform's ID is its position here plus one.
pub const PLATFORMS: [&str; 11] =
    ["ios", "android", "windows", "osx", "web", "miniweb", "linux", "apad", "ipad", "admin", "harmonyos"];

/// The label value for a missing platform ID, or one that is not in [`PLATFORMS`].
pub(crate) const UNKNOWN_PLATFORM: &str = "unknown";

/// The label values of the message statuses: their numbers, because OpenIM's documentation and its source disagree on
/// their meaning.
pub const STATUSES: [&str; 4] = ["1", "2", "3", "4"];

/// The label value for everything that is not listed.
pub const OTHER: &str = "other";

/// The highest code in [`CONTENT_TYPES`].
const HIGHEST_CODE: usize = 2200;
const UNLISTED: u8 = u8::MAX;

/// Code -> position in [`CONTENT_TYPES`]. Built at compile time, so that a lookup is one load.
static POSITIONS: [u8; HIGHEST_CODE + 1] = positions();

#[expect(
    clippy::indexing_slicing,
    clippy::cast_sign_loss,
    reason = "evaluated at compile time: an index out of bounds does not compile"
)]
#[expect(clippy::cast_possible_truncation, reason = "fewer than 255 codes")]
const fn positions() -> [u8; HIGHEST_CODE + 1] {
    let mut table = [UNLISTED; HIGHEST_CODE + 1];
    let mut position = 0;
    while position < CONTENT_TYPES.len() {
        table[CONTENT_TYPES[position].0 as usize] = position as u8;
        position += 1;
    }
    table
}

/// The position of a content type in [`CONTENT_TYPES`]; `None` if it is not listed.
pub(crate) fn content_type_position(code: i32) -> Option<usize> {
    let position = *POSITIONS.get(usize::try_from(code).ok()?)?;
    (position != UNLISTED).then_some(usize::from(position))
}

/// The position of a platform ID in [`PLATFORMS`]; `None` if it is not listed.
pub(crate) fn platform_position(id: i32) -> Option<usize> {
    position_from_one(id, PLATFORMS.len())
}

/// The label values of platforms: [`PLATFORMS`], then [`UNKNOWN_PLATFORM`].
pub(crate) fn platform_names() -> impl Iterator<Item = &'static str> {
    PLATFORMS.into_iter().chain([UNKNOWN_PLATFORM])
}

/// The position of a platform ID in [`platform_names`].
pub(crate) fn platform_row(id: i32) -> usize {
    platform_position(id).unwrap_or(PLATFORMS.len())
}

/// The position of a label value in [`platform_names`]: that of [`UNKNOWN_PLATFORM`] if it is not listed.
pub(crate) fn platform_row_of(name: &str) -> usize {
    PLATFORMS.iter().position(|listed| *listed == name).unwrap_or(PLATFORMS.len())
}

/// Whether OpenIM's own clients and servers usually produce messages of this kind with this content type, platform (its
/// position in [`platform_names`]) and source.
///
/// Users write on their platforms. The REST API sends as an administrator, without a platform or on the platform
/// `admin`. OpenIM's notifications have no platform. Some of those about groups, such as requests to join, go to single
/// users: see `newSessionTypeConf` in OpenIM's `notification/msg.go`.
pub(crate) fn is_usual(chat: Chat, content_type: i32, platform: usize, source: Source) -> bool {
    let is_admin = PLATFORMS.get(platform) == Some(&"admin");
    let is_unknown = platform == PLATFORMS.len();
    match (source, content_type) {
        // Only members of a group can be mentioned.
        (_, 106) if chat == Chat::Single => false,
        (Source::User, 101..=110 | 114 | 115) => !is_admin && !is_unknown,
        (Source::Admin, 101..=106 | 110 | 1400) => is_admin || is_unknown,
        (Source::Admin, 1503 | 1505 | 1506 | 2001 | 2102 | 2200) => chat == Chat::Single && is_unknown,
        (Source::Admin, 1501..=1520) => chat == Chat::Group && is_unknown,
        (Source::Admin, 2101) => is_unknown,
        _ => false,
    }
}

/// The position of a message status in [`STATUSES`]; `None` if it is not listed.
pub(crate) fn status_position(status: i32) -> Option<usize> {
    position_from_one(status, STATUSES.len())
}

fn position_from_one(code: i32, count: usize) -> Option<usize> {
    let position = usize::try_from(code).ok()?.checked_sub(1)?;
    (position < count).then_some(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_content_types_have_a_position() {
        for (position, (code, _)) in CONTENT_TYPES.iter().enumerate() {
            assert_eq!(content_type_position(*code), Some(position));
        }
        let listed = |code| CONTENT_TYPES.iter().any(|(listed, _)| *listed == code);
        for code in (-300..3000).filter(|code| !listed(*code)).chain([i32::MIN, i32::MAX]) {
            assert_eq!(content_type_position(code), None, "{code}");
        }
    }

    #[test]
    fn each_content_type_has_its_own_name() {
        let mut names: Vec<_> = CONTENT_TYPES.iter().map(|(_, name)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CONTENT_TYPES.len());
    }

    #[test]
    fn platforms_and_statuses_count_from_one() {
        assert_eq!(platform_position(1), Some(0));
        assert_eq!(platform_position(11), Some(10));
        for id in [0, 12, -1, i32::MIN, i32::MAX] {
            assert_eq!(platform_position(id), None);
        }
        assert_eq!(status_position(4), Some(3));
        assert_eq!(status_position(5), None);
    }
}
