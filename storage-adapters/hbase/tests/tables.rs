//! Tables and limits on a real HBase: starts at once, tables that differ, what
//! is too large, what is too old.

mod support;

use hbase_thrift::hbase::{HbaseSyncClient, THbaseSyncClient};
use sluice_hbase::{Compression, HbaseConfig, HbaseRows};
use sluice_seams::contract::sample::{document, filed_under, page_view, properties};

use sluice_seams::{Day, RowStore, RowWrite, StoreError};
use thrift::protocol::{TBinaryInputProtocol, TBinaryOutputProtocol};
use thrift::transport::{TBufferedReadTransport, TBufferedWriteTransport};

fn config() -> HbaseConfig {
    support::config(&support::Services::shared().servers, support::prefix())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn many_may_start_at_once() {
    let config = config();
    let opens = (0..8).map(|_| {
        let config = config.clone();
        std::thread::spawn(move || support::open(&config))
    });
    let stores: Vec<_> = opens.collect();
    for store in stores {
        let store = store.join().expect("every one of them opens");
        assert_eq!(store.status().await.refusing, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn a_table_that_differs_is_refused() {
    let config = HbaseConfig { ttl_days: 9, ..config() };
    drop(support::open(&config));
    let timeline = format!("{}timeline", config.table_prefix);
    let ttl = format!("alter '{timeline}', {{NAME => 't', TTL => 691200}}");
    let gz = format!("alter '{timeline}', {{NAME => 't', COMPRESSION => 'GZ'}}");
    let salt = "layout=1 salt_buckets=4".to_owned();
    type Edit = fn(&mut HbaseConfig);
    let cases: [(&str, &str, Edit); 3] = [
        (&ttl, "864000", |config| config.ttl_days = 7),
        (&gz, "'NONE'", |config| config.compression = Compression::Gz),
        (&salt, "salt_buckets=5", |config| config.salt_buckets = 5),
    ];
    for (names, also, edit) in cases {
        let mut other = config.clone();
        edit(&mut other);
        let error = HbaseRows::open(other, support::deps()).await.err().expect(names);
        let StoreError::Refused(detail) = error else { panic!("{error}") };
        assert!(detail.contains(names) && detail.contains(also), "{detail}");
    }
    drop(support::open(&config));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn compressed_tables_work() {
    let config = HbaseConfig { compression: Compression::Gz, ..config() };
    let now_ms = support::now_ms();
    {
        let store = support::open(&config);
        let row = page_view("demo", "e", now_ms, "u", "p");
        store.write(vec![RowWrite::Timeline(row)]).await.expect("write succeeds");
    }
    let store = support::open(&config);
    let page = store.timeline("demo", "u", None, 10).await.expect("timeline succeeds");
    assert_eq!(page.rows.len(), 1);
}

#[tokio::test]
async fn settings_out_of_range_are_refused() {
    let config = HbaseConfig { salt_buckets: 0, ..HbaseConfig::default() };
    let error = HbaseRows::open(config, support::deps()).await.err().expect("no salt");
    assert!(matches!(&error, StoreError::Refused(detail) if detail.contains("salt_buckets: 0")));
}

#[tokio::test]
async fn no_server_is_a_passing_error() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let server = free.local_addr().expect("an address").to_string();
    drop(free);
    let config = support::config(std::slice::from_ref(&server), "t.".into());
    let error = HbaseRows::open(config, support::deps()).await.err().expect("nobody is there");
    assert!(matches!(&error, StoreError::Retry { detail, .. } if detail.contains(&server)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn a_disabled_table_is_refused() {
    let config = config();
    drop(support::open(&config));
    let users = format!("{}users", config.table_prefix);
    let stream = std::net::TcpStream::connect(&config.servers[0]).expect("the server is there");
    let writing = TBufferedWriteTransport::new(stream.try_clone().expect("clone"));
    let reading = TBinaryInputProtocol::new(TBufferedReadTransport::new(stream), true);
    let mut client = HbaseSyncClient::new(reading, TBinaryOutputProtocol::new(writing, true));
    client.disable_table(users.clone().into_bytes()).expect("the table is there");
    let error = HbaseRows::open(config.clone(), support::deps()).await.err().expect("disabled");
    let line = format!("enable '{users}'");
    assert!(matches!(&error, StoreError::Refused(detail) if detail.contains(&line)), "{error}");
    client.enable_table(users.into_bytes()).expect("the table is there");
    drop(support::open(&config));
}

/// What is too large is named; its neighbours are kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn what_is_too_large_is_refused() {
    let store = support::open(&config());
    let now_ms = support::now_ms();
    let sized = |id: &str, user: &str, bytes: usize| {
        let json = format!("{{\"x\":\"{}\"}}", "y".repeat(bytes));
        let edit = |event: &mut _, _: &mut _| properties(event, &json);
        RowWrite::Timeline(document("demo", id, "big", now_ms, user, "", edit))
    };
    let writes = vec![
        sized("small", "u", 10),
        sized("above HBase's limit", "u", 11 << 20),
        sized("above a call's size", "u", 3 << 20),
        RowWrite::Seen { app_id: "demo".into(), user: "n".repeat(40_000).into(), time_ms: 1 },
        sized("near HBase's limit", "u", (10 << 20) - (66 << 10)),
        RowWrite::Seen { app_id: "demo".into(), user: "u".into(), time_ms: 1 },
    ];
    let report = store.write(writes).await.expect("write succeeds");
    let refused: Vec<_> = report.refused.iter().map(|refused| refused.index).collect();
    assert_eq!(refused, [1, 3], "{:?}", report.refused);
    let page = store.timeline("demo", "u", None, 10).await.expect("timeline succeeds");
    assert_eq!(page.rows.len(), 3);
    let profile = store.profile("demo", "u").await.expect("profile succeeds");
    assert_eq!(profile.expect("it was seen").first_seen_ms, Some(1));
}

/// The family's TTL goes by the day of the event, whenever it arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn days_past_the_ttl_are_not_seen() {
    let store = support::open(&HbaseConfig { ttl_days: 3, ..config() });
    let now_ms = support::now_ms();
    let today = Day::of(now_ms);
    let rows: Vec<_> = (0..8)
        .map(|ago| {
            let row = page_view("demo", &format!("e-{ago}"), now_ms - ago, "u", "p");
            RowWrite::Timeline(filed_under(row, Day(today.0 - ago as i32)))
        })
        .collect();
    store.write(rows).await.expect("write succeeds");
    let kept = async || {
        let page = store.timeline("demo", "u", None, 100).await.expect("timeline succeeds");
        page.rows.iter().map(|row| today.0 - row.0.day.0).collect::<Vec<_>>()
    };
    assert_eq!(kept().await, [0, 1, 2, 3], "today and three whole days");
    // Nothing older is there to drop, and it costs no scan to say so.
    let scans =
        || store.figures().calls.iter().find(|call| call.call == "scan").map(|call| call.ok);
    let before = scans();
    assert_eq!(store.drop_before(Day(today.0 - 3)).await.expect("drop succeeds"), 0);
    assert_eq!(scans(), before);
    assert_eq!(store.drop_before(Day(today.0 - 1)).await.expect("drop succeeds"), 2);
    assert_eq!(kept().await, [0, 1]);
}
