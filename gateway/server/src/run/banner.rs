//! What a person sees on start: where to send, where to ask, one line to try.

use super::Role;
use crate::addresses::Addresses;

/// Prints it to standard output.
pub fn print(role: Role, addresses: &Addresses, tls: bool, demo: bool) {
    let scheme = if tls { "https" } else { "http" };
    print!("{}", text(role, addresses, scheme, demo));
}

fn text(role: Role, addresses: &Addresses, scheme: &str, demo: bool) -> String {
    let Addresses { http, admin, .. } = addresses;
    let base = format!("{scheme}://{http}");
    let mut out = format!("sluice {} is ready\n", role.name);
    if role.collect {
        out +=
            &format!("  send   {base}/v1/events   (gRPC sluice.v1.Collector on the same port)\n");
    }
    if role.query {
        out += &format!("  ask    {base}/v1/apps/{{app}}/query   (API: {base}/openapi.json)\n");
    }
    out += &format!("  admin  http://{admin}/readyz /metrics /status\n");
    if demo {
        out += "\nno apps are configured: the app `demo` stands in, on loopback only\n";
        out +=
            "  write key demo-write-key, server key demo-server-key, read token demo-read-token\n";
    }
    if demo && role.collect {
        out += "\ntry it:\n";
        out += &format!(
            "  curl -s {base}/v1/events -H 'Authorization: Bearer demo-write-key' \
             -d '{{\"platform\":\"wx\",\"events\":[{{\"id\":\"hello-'$(date +%s%N)'\",\
             \"name\":\"page_view\",\"time\":'$(date +%s%3N)',\"device_id\":\"d-1\",\
             \"page\":{{\"path\":\"pages/index\"}}}}]}}'\n"
        );
    }
    if demo && role.query {
        out += &format!(
            "  curl -s {base}/v1/apps/demo/query -H 'Authorization: Bearer demo-read-token' \
             -d '{{\"metrics\":[\"visit_pv\",\"visit_uv\"],\"date_range\":{{\"last\":\"7d\"}}}}'\n"
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses() -> Addresses {
        let http = "127.0.0.1:7080".parse().expect("address");
        Addresses { http, admin: "127.0.0.1:7081".parse().expect("address"), pid: 1 }
    }

    #[test]
    fn demo_keys_are_shown_for_the_demo_app_only() {
        assert!(text(Role::SERVE, &addresses(), "http", true).contains("demo-write-key"));
        assert!(!text(Role::SERVE, &addresses(), "https", false).contains("demo"));
        assert!(!text(Role::QUERY, &addresses(), "http", true).contains("/v1/events"));
    }
}
