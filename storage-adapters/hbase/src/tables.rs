//! The tables: made where absent, checked where there.
//!
//! Several processes may start at once: whoever comes second finds the table.
//! Thrift1 has no split keys, so a table made here begins as one region; the
//! shell line that splits it by salt is logged once.

use std::collections::BTreeMap;
use std::time::Duration;

use hbase_thrift::hbase::{ColumnDescriptor, Mutation, THbaseSyncClient};
use sluice_seams::StoreError;

use crate::config::HbaseConfig;
use crate::keys::LAYOUT_ROW;
use crate::thrift1::Call;
use crate::thrift1::connection::{Connection, Fault};
use crate::thrift1::pool::{Pool, RETRY_AFTER};

/// The family of `timeline`.
pub(crate) const TIMELINE_FAMILY: &str = "t";
/// The one column of `timeline`: the event, [`sluice_seams::EventDocument::encode`].
pub(crate) const TIMELINE_COLUMN: &[u8] = b"t:e";
/// The family of `users` that says when a user was seen.
pub(crate) const SEEN_FAMILY: &str = "s";
/// The family of `users` with the properties of the profile.
pub(crate) const PROFILE_FAMILY: &str = "p";

/// The column of the layout's row.
const LAYOUT_COLUMN: &[u8] = b"s:layout";

/// HBase's "for ever".
const NO_TTL: i32 = i32::MAX;

/// How often a table that is being made by someone else is looked for.
const LOOKS_MAX: u32 = 60;
const LOOK_AGAIN: Duration = Duration::from_millis(150);

/// Names of the tables, as the wire wants them.
#[derive(Debug, Clone)]
pub(crate) struct TableNames {
    pub(crate) timeline: Vec<u8>,
    pub(crate) users: Vec<u8>,
}

/// A table as it should be.
struct Wanted<'a> {
    name: String,
    families: &'static [&'static str],
    ttl_seconds: i32,
    config: &'a HbaseConfig,
}

// === impl TableNames ===

impl TableNames {
    pub(crate) fn new(config: &HbaseConfig) -> Self {
        let name = |table: &str| format!("{}{table}", config.table_prefix).into_bytes();
        Self { timeline: name("timeline"), users: name("users") }
    }
}

/// Makes and checks both tables, and the layout that their rows were written in.
///
/// # Errors
/// `Refused` names table, setting, what was found, what is wanted, and the shell
/// line that changes it. `Retry`: HBase cannot be asked now.
pub(crate) async fn prepare(
    pool: &std::sync::Arc<Pool>,
    config: &HbaseConfig,
) -> Result<(), StoreError> {
    let config = config.clone();
    // The calls are answered one by one, so each has the whole time-out.
    let checked = pool.call(Call::Tables, move |connection| {
        for table in wanted(&config) {
            if let Err(detail) = table.prepare(connection)? {
                return Ok(Err(detail));
            }
        }
        check_layout(connection, &config)
    });
    checked.await.map_err(at_start)?.map_err(StoreError::Refused)
}

fn at_start(fault: Fault) -> StoreError {
    StoreError::retry(RETRY_AFTER, format!("prepare the tables of HBase: {}", fault.detail()))
}

fn wanted(config: &HbaseConfig) -> [Wanted<'_>; 2] {
    let timeline: &[&str] = &[TIMELINE_FAMILY];
    let users: &[&str] = &[SEEN_FAMILY, PROFILE_FAMILY];
    let table = |name: &str, families, ttl_seconds| {
        let name = format!("{}{name}", config.table_prefix);
        Wanted { name, families, ttl_seconds, config }
    };
    [table("timeline", timeline, config.ttl_seconds()), table("users", users, NO_TTL)]
}

// === impl Wanted ===

impl Wanted<'_> {
    /// `Ok(Err(…))`: the table is not as wanted.
    fn prepare(&self, connection: &mut Connection) -> Result<Result<(), String>, Fault> {
        let name = self.name.as_bytes();
        let (mut made, mut disabled) = (false, false);
        for _ in 0..LOOKS_MAX {
            let tables = connection.ask(|client| client.get_table_names())?;
            if tables.iter().any(|table| table == name) {
                disabled = !connection.ask(|client| client.is_table_enabled(name.to_vec()))?;
                if !disabled {
                    if let Err(detail) = self.check(connection)? {
                        return Ok(Err(detail));
                    }
                    self.check_regions(connection, made)?;
                    return Ok(Ok(()));
                }
            } else {
                match connection.ask(|client| client.create_table(name.to_vec(), self.families())) {
                    Ok(()) => made = true,
                    Err(Fault::Exists) => {}
                    Err(Fault::Passing(detail)) if detail.contains("TableExistsException") => {}
                    Err(fault) => return Err(fault),
                }
            }
            // Somebody else makes it: it is not listed, or not enabled, before it is whole.
            std::thread::sleep(LOOK_AGAIN);
        }
        let name = &self.name;
        match disabled {
            true => Ok(Err(format!(
                "table {name}: it is disabled, an enabled one is wanted; in the HBase shell: \
                 enable '{name}'"
            ))),
            false => Err(Fault::Passing(format!("table {name} is not ready yet"))),
        }
    }

    fn families(&self) -> Vec<ColumnDescriptor> {
        let family = |name: &&str| ColumnDescriptor {
            name: Some(format!("{name}:").into_bytes()),
            max_versions: Some(1),
            compression: Some(self.config.compression.name().to_owned()),
            in_memory: Some(false),
            bloom_filter_type: Some("ROW".to_owned()),
            bloom_filter_vector_size: Some(0),
            bloom_filter_nb_hashes: Some(0),
            block_cache_enabled: Some(true),
            time_to_live: Some(self.ttl_seconds),
        };
        self.families.iter().map(family).collect()
    }

    fn check(&self, connection: &mut Connection) -> Result<Result<(), String>, Fault> {
        let name = self.name.as_bytes();
        let found = connection.ask(|client| client.get_column_descriptors(name.to_vec()))?;
        for family in self.families {
            let column = found.get(format!("{family}:").as_bytes());
            if let Err(detail) = self.check_family(family, column) {
                return Ok(Err(detail));
            }
        }
        Ok(Ok(()))
    }

    fn check_family(&self, family: &str, found: Option<&ColumnDescriptor>) -> Result<(), String> {
        let table = &self.name;
        let Some(found) = found else {
            return Err(format!(
                "table {table}: there is no family {family}; in the HBase shell: alter '{table}', \
                 {}",
                self.shell_family(family)
            ));
        };
        let shown = |ttl: i32| match ttl {
            NO_TTL => "'FOREVER'".to_owned(),
            seconds => seconds.to_string(),
        };
        let compression = found.compression.as_deref().unwrap_or("NONE").to_uppercase();
        let settings = [
            ("VERSIONS", found.max_versions.unwrap_or(1).to_string(), "1".to_owned()),
            ("TTL", shown(found.time_to_live.unwrap_or(NO_TTL)), shown(self.ttl_seconds)),
            (
                "COMPRESSION",
                format!("'{compression}'"),
                format!("'{}'", self.config.compression.name()),
            ),
        ];
        for (setting, found, wanted) in settings {
            if found != wanted {
                return Err(format!(
                    "table {table}: {setting} of family {family} is {found}, {wanted} is wanted; \
                     change the config, or in the HBase shell: alter '{table}', {{NAME => \
                     '{family}', {setting} => {wanted}}}"
                ));
            }
        }
        Ok(())
    }

    fn shell_family(&self, family: &str) -> String {
        let ttl = match self.ttl_seconds {
            NO_TTL => "'FOREVER'".to_owned(),
            seconds => seconds.to_string(),
        };
        format!(
            "{{NAME => '{family}', VERSIONS => 1, TTL => {ttl}, COMPRESSION => '{}', BLOOMFILTER \
             => 'ROW'}}",
            self.config.compression.name()
        )
    }

    /// The shell line that makes the table as it should be, split by salt.
    fn shell_create(&self) -> String {
        let families: Vec<_> =
            self.families.iter().map(|family| self.shell_family(family)).collect();
        let splits: Vec<_> =
            (1..self.config.salt_buckets).map(|salt| format!("\"\\x{salt:02x}\"")).collect();
        let splits = match splits.is_empty() {
            true => String::new(),
            false => format!(", SPLITS => [{}]", splits.join(", ")),
        };
        format!("create '{}', {}{splits}", self.name, families.join(", "))
    }

    /// The shell line that splits the table that is there, while it is small. A
    /// split needs its region open, so that the next one waits.
    fn shell_split(&self) -> String {
        format!(
            "(1..{}).each {{ |salt| split '{}', [salt].pack('C'); sleep 5 }}",
            self.config.salt_buckets - 1,
            self.name
        )
    }

    /// Says once how to split a table that has fewer regions than salts.
    fn check_regions(&self, connection: &mut Connection, made: bool) -> Result<(), Fault> {
        let name = self.name.as_bytes();
        let regions = connection.ask(|client| client.get_table_regions(name.to_vec()))?;
        let buckets = usize::from(self.config.salt_buckets);
        if regions.len() < buckets {
            tracing::warn!(
                table = self.name,
                regions = regions.len(),
                made,
                "the table is not split by salt, so that few region servers carry it; in the \
                 HBase shell: {}  (before it is made: {})",
                self.shell_split(),
                self.shell_create()
            );
        }
        Ok(())
    }
}

/// The layout is written by whoever comes first and never changed: rows that
/// were written under another salt would not be found.
fn check_layout(
    connection: &mut Connection,
    config: &HbaseConfig,
) -> Result<Result<(), String>, Fault> {
    let users = TableNames::new(config).users;
    let wanted = format!("layout=1 salt_buckets={}", config.salt_buckets);
    let put = Mutation {
        is_delete: Some(false),
        column: Some(LAYOUT_COLUMN.to_vec()),
        value: Some(wanted.clone().into_bytes()),
        write_to_w_a_l: Some(true),
    };
    // An empty value asks that there be none.
    connection.ask(|client| {
        let (table, row, column) = (users.clone(), LAYOUT_ROW.to_vec(), LAYOUT_COLUMN.to_vec());
        client.check_and_put(table, row, column, Vec::new(), put, BTreeMap::new())
    })?;
    let found = connection.ask(|client| {
        client.get(users.clone(), LAYOUT_ROW.to_vec(), LAYOUT_COLUMN.to_vec(), BTreeMap::new())
    })?;
    let found = found.into_iter().next().and_then(|cell| cell.value).unwrap_or_default();
    if found == wanted.as_bytes() {
        return Ok(Ok(()));
    }
    Ok(Err(format!(
        "table {}users: its rows were written with {:?}, this program wants {wanted:?}: set \
         salt_buckets as it was, or take another table_prefix and replay the rows from the log",
        config.table_prefix,
        String::from_utf8_lossy(&found)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Compression;

    fn config() -> HbaseConfig {
        HbaseConfig { salt_buckets: 3, ttl_days: 9, ..HbaseConfig::default() }
    }

    #[test]
    fn shell_lines_are_whole() {
        let config = HbaseConfig { compression: Compression::Gz, ..config() };
        let [timeline, users] = wanted(&config);
        assert_eq!(
            timeline.shell_create(),
            "create 'sluice.timeline', {NAME => 't', VERSIONS => 1, TTL => 864000, COMPRESSION => \
             'GZ', BLOOMFILTER => 'ROW'}, SPLITS => [\"\\x01\", \"\\x02\"]"
        );
        assert_eq!(
            timeline.shell_split(),
            "(1..2).each { |salt| split 'sluice.timeline', [salt].pack('C'); sleep 5 }"
        );
        let create = users.shell_create();
        assert!(create.contains("NAME => 's'") && create.contains("NAME => 'p'"), "{create}");
        assert!(create.contains("TTL => 'FOREVER'"), "{create}");
    }

    #[test]
    fn what_differs_is_named() {
        let config = config();
        let [timeline, users] = wanted(&config);
        let right = timeline.families().remove(0);
        assert_eq!(timeline.check_family("t", Some(&right)), Ok(()));
        type Edit = fn(&mut ColumnDescriptor);
        let cases: [(&str, Edit); 3] = [
            ("VERSIONS => 1", |found| found.max_versions = Some(3)),
            ("TTL => 864000", |found| found.time_to_live = Some(60)),
            ("COMPRESSION => 'NONE'", |found| found.compression = Some("GZ".into())),
        ];
        for (line, edit) in cases {
            let mut found = right.clone();
            edit(&mut found);
            let error = timeline.check_family("t", Some(&found)).expect_err(line);
            assert!(error.contains(line) && error.contains("sluice.timeline"), "{error}");
        }
        let error = users.check_family("p", None).expect_err("no family");
        assert!(error.contains("alter 'sluice.users', {NAME => 'p'"), "{error}");
    }
}
