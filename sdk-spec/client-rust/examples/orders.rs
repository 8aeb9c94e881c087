//! A shop's server reports orders, and says what became of them.
//!
//! ```sh
//! cargo run --bin sluice -- serve &
//! cargo run -p sluice-client --example orders
//! ```
//!
//! usage: orders [URL [KEY [json|protobuf|grpc]]]

use std::error::Error;
use std::time::Duration;

use sluice_client::{Client, Event, Transport};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_else(|| "http://127.0.0.1:7080".to_owned());
    let key = args.next().unwrap_or_else(|| "demo-server-key".to_owned());
    let transport = match args.next().as_deref() {
        None | Some("json") => Transport::Json,
        #[cfg(feature = "grpc")]
        Some("protobuf") => Transport::Protobuf,
        #[cfg(feature = "grpc")]
        Some("grpc") => Transport::Grpc,
        Some(other) => return Err(format!("{other}: must be json, protobuf or grpc").into()),
    };
    let client = Client::builder(url, key)
        .transport(transport)
        .platform("server")
        .app_version(env!("CARGO_PKG_VERSION"))
        .on_problem(|problem| eprintln!("{}: {}", problem.reason, problem.detail))
        .build()?;

    for number in 1..=100_u32 {
        let order = Event::new("order")
            // The id follows from the order: reported twice, it counts once.
            .id(format!("order-{number}-paid"))
            .user_id(format!("user-{}", number % 7))
            .property("amount_cny", f64::from(number) * 9.9)
            .property("items", number % 3 + 1);
        client.track(order).await?;
    }
    let flushed = client.flush(Duration::from_secs(10)).await;
    let stats = client.stats();
    println!(
        "{} accepted, {} reported before, {} rejected, {} waiting, in {} requests",
        stats.accepted, stats.duplicates, stats.rejected, stats.waiting, stats.requests
    );
    client.close(Duration::from_secs(1)).await?;
    Ok(flushed?)
}
