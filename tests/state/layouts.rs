//! The contents of each section as literal values: a section whose words change their meaning needs a new version.

use openim_exporter::arena::Contents;
use openim_exporter::domain::{COMMANDS, Event, Exclusion, Mentions, Presence, Reason, Source};

use super::*;

/// Each section with its version, and a hash of its layout and of its words after [`count_everything`].
const LAYOUTS: &[(&str, u32, u64)] = &[
    ("id", 1, 0xd2cd_7067_840b_56df),
    ("began", 1, 0x4f3f_a2ae_6c35_1ca5),
    ("callbacks", 1, 0xb43b_4415_1cc9_687b),
    ("refusals", 1, 0x2d46_fa03_d366_a646),
    ("exclusions", 1, 0x29c8_f6e6_288c_f26a),
    ("last callback", 1, 0x1107_c587_b92c_efce),
    ("activities", 1, 0x3647_dab0_12d1_771a),
    ("disconnects", 1, 0x942f_33be_e4b7_43a5),
    ("mix", 1, 0x5102_c725_7d40_c88e),
    ("unlisted content types", 1, 0x6710_ecd3_9d2c_6f4c),
    ("content bytes", 1, 0x8598_bb22_ab4a_e5a9),
    ("content bytes, native", 1, 0x8863_0355_2a14_b4b0),
    ("delivery delay", 1, 0xb1f1_c164_1856_570d),
    ("delivery delay, native", 1, 0xa1d0_61e8_ee27_f26b),
    ("delivery delay, sums", 1, 0xcfd3_3c6e_87e5_837b),
    ("submit delay", 1, 0xf8ea_4928_9db1_08c2),
    ("submit delay, native", 1, 0xbf4f_a0cf_7f47_96de),
    ("clock errors", 1, 0x90ce_94dd_089e_70d8),
    ("delivery exemplars", 1, 0x17e7_d972_ae28_dc41),
    ("senders by minute, times", 2, 0x1ac0_3736_ff78_416f),
    ("senders by minute", 1, 0xe096_ec38_cef3_c857),
    ("senders by hour, times", 2, 0x876b_3b79_8df3_8385),
    ("senders by hour", 1, 0x9ba0_b2a2_31b3_03f8),
    ("senders by day, times", 2, 0xa4b1_acbf_186d_ed54),
    ("senders by day", 1, 0x8ff0_6e72_d443_ba95),
    ("single mix", 1, 0x4ba6_7618_681f_81d0),
    ("single unlisted content types", 1, 0xf638_efb8_ba77_2e2e),
    ("single content bytes", 1, 0xb05f_8750_5ad7_a114),
    ("single content bytes, native", 1, 0xb86c_1426_664c_2358),
    ("single delivery delay", 1, 0x3131_6e63_bf39_8aef),
    ("single delivery delay, native", 1, 0xb41e_ba88_f05f_dc80),
    ("single delivery delay, sums", 1, 0x5a84_1ecf_c4c6_b899),
    ("single submit delay", 1, 0xadcc_7447_ee3a_08d7),
    ("single submit delay, native", 1, 0x37ef_48f4_86bd_a4fc),
    ("single clock errors", 1, 0xb397_5aa2_95ec_48fb),
    ("single delivery exemplars", 1, 0x7aa1_0fe3_05e6_6ccb),
    ("single senders by minute, times", 2, 0xe280_a351_6ee3_efac),
    ("single senders by minute", 1, 0x623d_9c3b_016f_25a3),
    ("single senders by hour, times", 2, 0x5ef9_6ec4_0f2c_530b),
    ("single senders by hour", 1, 0x04b8_04b8_04fb_f4c1),
    ("single senders by day, times", 2, 0xd071_5d34_14a0_8552),
    ("single senders by day", 1, 0x06fd_1fbc_8427_9dda),
    ("tallies", 1, 0xe418_a8ce_37ed_40e6),
    ("active groups by minute, times", 2, 0xc510_67df_79e0_9477),
    ("active groups by minute", 1, 0x5822_81dd_3061_1a6e),
    ("active groups by hour, times", 2, 0xb093_e4f8_bea5_98bd),
    ("active groups by hour", 1, 0x352e_f9c5_b50f_c3d6),
    ("active groups by day, times", 2, 0x19ac_4683_5946_5a1c),
    ("active groups by day", 1, 0xf46e_2eb3_ac3e_4e31),
    ("users by minute, times", 2, 0x73b9_d5fd_8cd4_d0dc),
    ("users by minute", 1, 0xf615_32d5_65ef_b8b3),
    ("users by hour, times", 2, 0x3998_37d1_7e6b_345b),
    ("users by hour", 1, 0x2f25_52c7_d0e8_9791),
    ("users by day, times", 2, 0x4156_1a3b_c716_1862),
    ("users by day", 1, 0xbfd2_b29a_5f6f_a6ea),
    ("users online", 2, 0x10d4_50bc_681f_06a8),
    ("users online, counters", 1, 0x60b7_fc76_2ecc_d4ab),
    ("groups", 1, 0x24cb_f93e_1eff_4525),
    ("folded", 1, 0xfb36_51a3_1220_295c),
    ("retiring", 1, 0x0d2d_b589_4824_c3a8),
    ("ranked at", 1, 0xbb19_77dd_924e_10c1),
    ("dismissed groups", 1, 0x7b23_2a94_cca2_ae68),
    ("pairs", 1, 0x8adb_0686_93c7_af29),
    ("pair tallies", 1, 0x8d47_ae6a_6323_fbb0),
    ("pairs at the last scan", 1, 0xa46e_d226_c67c_7d5d),
    ("dedup", 1, 0x47c5_1cea_0159_7864),
    ("repeats", 1, 0x5f87_1064_d2ae_7666),
    ("dedup cleared", 1, 0xf24d_c2c7_e2fe_c7d9),
    ("history of minutes, times", 1, 0x377c_f23a_47f5_3408),
    ("history of minutes", 1, 0x3d8a_8548_a731_b7d8),
    ("history of hours, times", 1, 0xcdc2_3c7b_2bc6_2be3),
    ("history of hours", 1, 0x7cb1_d22b_fa13_68e7),
    ("history of days, times", 1, 0x3752_65ec_2172_51d2),
    ("history of days", 1, 0x3920_5e82_dee6_96b5),
    ("history offsets", 1, 0xce66_a635_4ec9_63d6),
    ("senders by calendar day, times", 2, 0xeb14_dbb5_dc25_188f),
    ("senders by calendar day", 1, 0x1917_22aa_5f92_12ee),
    ("single senders by calendar day, times", 2, 0xd65c_5d85_0d23_8e85),
    ("single senders by calendar day", 1, 0xc1f7_2750_fb00_0a75),
    ("users by calendar day, times", 2, 0xd829_20a4_e6d0_e3d5),
    ("users by calendar day", 1, 0xc30a_a731_6a36_b605),
    ("active groups by calendar day, times", 2, 0xccd6_395a_177d_2fc7),
    ("active groups by calendar day", 1, 0xd0c0_38b7_11c3_57d2),
    ("group weeks", 1, 0xeab9_859a_d395_e004),
];

/// Counts a message of each kind on one thread at fixed times, so that the words are always the same.
fn count_everything(stats: &Stats) {
    for number in 0..400_i32 {
        let now = later(i64::from(number) * 3_700_000);
        let (group, sender) = (format!("group-{}", number % 17), format!("sender-{}", number % 23));
        let id = format!("id-{}", number - number % 10 / 9);
        let message = Message {
            content_type: [101, 113, 110, 1501, 999, -7, 0][usize::try_from(number).unwrap() % 7],
            platform_id: number % 13,
            source: Source::ALL[usize::try_from(number).unwrap() % 3],
            status: number % 6,
            content_bytes: u64::from(number.unsigned_abs()).pow(3) / 7,
            mentions: Mentions { users: number.unsigned_abs() % 3, all: number % 5 == 0 },
            server_msg_id: &id,
            operation_id: &id,
            send_time: Some(UnixMillis(now.0 - i64::from(number).pow(2) * 30 + 500)),
            create_time: Some(UnixMillis(now.0 - i64::from(number).pow(2) * 40)),
            ..typical(&group, &sender, now)
        };
        stats.record(&message, now);
        if number % 2 == 0 {
            stats.record(&Message { group_id: None, server_msg_id: "", ..message }, now);
            let user = Presence { user_id: &sender, platform_id: number % 13 };
            stats.record_event(Event::Online(user), now);
            stats.record_event(Event::Dismissal(&format!("dismissed {number}")), now);
        }
        stats.record_callback(usize::try_from(number).ok().filter(|command| *command < COMMANDS.len()), now);
        stats.record_exclusion(Exclusion::ALL[usize::try_from(number).unwrap() % 2], now);
        stats.record_refusal(Reason::ALL[usize::try_from(number).unwrap() % Reason::ALL.len()]);
        stats.tick(now);
    }
}

/// FNV-1a: <http://www.isthe.com/chongo/tech/comp/fnv/>
fn sum(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The sections of a state's file, each with its version and its hash. Lanes are added up, because the lane of a thread
/// is random. So is the ID, which counts as 1.
fn layouts(file: &[u8]) -> Vec<(String, u32, u64)> {
    let word = |at: usize| u64::from_le_bytes(file[8 * at..][..8].try_into().unwrap());
    let [at, bytes] = [2, 4].map(|fact| usize::try_from(word(fact)).unwrap());
    let contents: Contents = serde_json::from_slice(&file[8 * at..][..bytes]).unwrap();
    let sections = contents.sections.into_iter().map(|entry| {
        let lane = entry.length / 8 / entry.layout.lanes;
        let words = (0..lane).map(|place| {
            let lanes = (0..entry.layout.lanes).map(|number| word(entry.offset / 8 + number * lane + place));
            let sum = lanes.fold(0, u64::wrapping_add);
            if entry.layout.name == "id" { sum.min(1) } else { sum }
        });
        let layout = serde_json::to_vec(&entry.layout).unwrap();
        let sum = sum(layout.into_iter().chain(words.flat_map(u64::to_le_bytes)));
        (entry.layout.name, entry.layout.version, sum)
    });
    sections.collect()
}

#[test]
fn a_section_that_changes_its_layout_has_a_new_version() {
    let directory = tempfile::tempdir().unwrap();
    let capacities = Capacities { groups: 14, sender_pairs: 100, dedup_window: Duration::from_secs(600), ..CAPACITIES };
    let (stats, _) = open_with(directory.path(), capacities, BOOT);
    count_everything(&stats);
    let found = layouts(&fs::read(directory.path().join("state")).unwrap());
    let now: String =
        found.iter().map(|(name, version, sum)| format!("    ({name:?}, {version}, {sum:#x}),\n")).collect();
    let is_known = |(name, version, sum): &(String, u32, u64)| LAYOUTS.contains(&(name.as_str(), *version, *sum));
    let changed: Vec<_> = found.iter().filter(|section| !is_known(section)).collect();
    assert!(
        changed.is_empty() && found.len() == LAYOUTS.len(),
        "These sections do not hold what their version says: {changed:?}\nIf an element's words changed their meaning, \
         raise the section's version and read the old one in its `carry`. If only keys or numbers of elements changed, \
         keep the version: they are converted. Then write down here what it is now:\n{now}"
    );
}
