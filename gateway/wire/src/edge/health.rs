//! gRPC health and reflection. Health asks the collector each time: it says
//! SERVING exactly while batches are taken.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use sluice_event::Collector;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// A watcher hears of a change within this.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// Bytes of a request to these services.
const REQUEST_BYTES_MAX: usize = 64 * 1024;

struct Truthful<C> {
    collector: Arc<C>,
    draining: CancellationToken,
}

/// The services beside the collector.
pub(crate) fn routes<C: Collector>(collector: Arc<C>, draining: CancellationToken) -> Routes {
    let health = HealthServer::new(Truthful { collector, draining });
    let mut routes = Routes::new(health.max_decoding_message_size(REQUEST_BYTES_MAX));
    let described = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(sluice_proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // Both versions: many clients still ask in the older one only.
    match (described().build_v1(), described().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => {
            routes = routes
                .add_service(v1.max_decoding_message_size(REQUEST_BYTES_MAX))
                .add_service(v1alpha.max_decoding_message_size(REQUEST_BYTES_MAX));
        }
        (Err(broken), _) | (_, Err(broken)) => {
            tracing::error!(%broken, "reflection is off: unreadable descriptors");
        }
    }
    routes.prepare()
}

// === impl Truthful ===

impl<C: Collector> Truthful<C> {
    fn status(&self, service: &str) -> ServingStatus {
        if !matches!(service, "" | "sluice.v1.Collector") {
            return ServingStatus::ServiceUnknown;
        }
        if self.draining.is_cancelled() || self.collector.unready().is_some() {
            return ServingStatus::NotServing;
        }
        ServingStatus::Serving
    }
}

#[tonic::async_trait]
impl<C: Collector> Health for Truthful<C> {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        match self.status(&service) {
            ServingStatus::ServiceUnknown => {
                Err(Status::not_found("the services here are \"\" and sluice.v1.Collector"))
            }
            status => Ok(Response::new(HealthCheckResponse { status: status.into() })),
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let service = request.into_inner().service;
        let this = Self { collector: Arc::clone(&self.collector), draining: self.draining.clone() };
        let told: Option<ServingStatus> = None;
        let changes =
            futures::stream::unfold((this, service, told), |(this, service, told)| async move {
                if this.draining.is_cancelled() && told == Some(ServingStatus::NotServing) {
                    return None;
                }
                loop {
                    let status = this.status(&service);
                    if told != Some(status) {
                        let response = HealthCheckResponse { status: status.into() };
                        return Some((Ok(response), (this, service, Some(status))));
                    }
                    tokio::select! {
                        () = tokio::time::sleep(WATCH_EVERY) => {}
                        () = this.draining.cancelled() => {}
                    }
                }
            });
        Ok(Response::new(Box::pin(changes)))
    }
}
