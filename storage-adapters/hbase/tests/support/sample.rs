//! Random writes of few users, and all that can be asked about them.

use bytes::Bytes;
use sluice_seams::contract::sample::{filed_under, page_view};
use sluice_seams::key::DAY_MS;
use sluice_seams::row::Cell;
use sluice_seams::{Day, Key, Profile, ProfileChange, RowStore, RowWrite};

const NOON_MS: i64 = 20_777 * DAY_MS + DAY_MS / 2;

/// A small generator (splitmix64); a test names its seed.
pub struct Random(pub u64);

// === impl Random ===

impl Random {
    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    /// The same items in another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at as u64 + 1) as usize);
        }
    }

    /// A write of one of these users, out of few names and times, so that many
    /// collide. `id` names the event of a row.
    pub fn write(&mut self, users: &[String], id: u64) -> RowWrite {
        let user = &users[self.below(users.len() as u64) as usize];
        match self.below(4) {
            0 | 1 => {
                // Time and day follow from the id, as they do behind `D`.
                let time_ms = NOON_MS + (id as i64 * 7 % 11) * DAY_MS / 3;
                let row = page_view("demo", &format!("{user}-{id}"), time_ms, user, "p");
                RowWrite::Timeline(filed_under(row, Day(20_770 + (id as i32 * 5 % 9))))
            }
            2 => RowWrite::Seen {
                app_id: "demo".into(),
                user: user.as_str().into(),
                time_ms: self.below(100) as i64 - 50,
            },
            _ => {
                let json = Bytes::from(format!("\"{}\"", self.below(3)));
                let cell = match self.below(3) {
                    0 => Cell::Set(json),
                    1 => Cell::SetOnce(json),
                    _ => Cell::Unset,
                };
                RowWrite::Profile(ProfileChange {
                    app_id: "demo".into(),
                    user: user.as_str().into(),
                    time_ms: self.below(9) as i64 - 3,
                    key: Key(u128::from(self.below(3))),
                    name: if self.below(2) == 0 { "x" } else { "y" }.into(),
                    cell,
                })
            }
        }
    }
}

/// All that can be asked about users: rows in pages of `limit`, profiles.
pub async fn state(
    store: &impl RowStore,
    users: &[String],
    limit: usize,
) -> Vec<(String, Vec<Vec<u8>>, Option<Profile>)> {
    let mut state = Vec::new();
    for user in users {
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let page = store.timeline("demo", user, after, limit).await.expect("timeline succeeds");
            rows.extend(page.rows.iter().map(|row| row.0.encode()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let profile = store.profile("demo", user).await.expect("profile succeeds");
        state.push((user.clone(), rows, profile));
    }
    state
}
