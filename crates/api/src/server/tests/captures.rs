//! The client at the server's socket: captures, texts, and what goes wrong.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::LIMITS;
use super::memory::Memory;
use crate::Client;
use crate::client::{Appetite, ClientError};
use crate::config::ApiConfig;
use crate::server::Sockets;
use crate::types::{CaptureDirection, CapturePoint, CaptureRequest, PolicyChange, VmView};

/// Runs `ask` with a client of a server.
async fn with_client<T: Send + 'static>(
    service: Arc<Memory>,
    ask: impl FnOnce(Client) -> T + Send + 'static,
) -> T {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let config: ApiConfig = toml::from_str("socket_mode = \"0660\"").unwrap();
    let sockets = Sockets::bind(&path, &config).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let (end, ended) = oneshot::channel::<()>();
    let serving =
        tokio::spawn(async move { sockets.serve(service, LIMITS, async { drop(ended.await) }).await });
    let answer = tokio::task::spawn_blocking(move || ask(Client::unix(path))).await.unwrap();
    drop(end);
    serving.await.unwrap().unwrap();
    answer
}

fn request(snaplen: usize) -> CaptureRequest {
    CaptureRequest {
        point: CapturePoint::Adapter("alpha/net0".to_owned()),
        direction: CaptureDirection::Both,
        drops: false,
        snaplen,
        count: None,
    }
}

#[tokio::test]
async fn a_capture_comes_whole_or_as_long_as_it_is_wanted() {
    let service = Arc::new(Memory::new());
    let (tell, gone) = oneshot::channel();
    let endless = Arc::clone(&service);
    with_client(service, move |client| {
        let mut file = Vec::new();
        let take = |part: &[u8]| {
            file.extend_from_slice(part);
            Ok(Appetite::More)
        };
        client.capture::<ClientError>(&request(100_000), take).unwrap();
        assert_eq!(file, vec![7; 100_000]);
        *endless.endless.lock().unwrap() = Some(tell);
        client.capture::<ClientError>(&request(64), |_| Ok(Appetite::Sated)).unwrap();
    })
    .await;
    gone.await.unwrap();
}

#[tokio::test]
async fn refusals_and_odd_answers_are_errors_that_say_so() {
    with_client(Arc::new(Memory::new()), |client| {
        assert!(client.text("/metrics").unwrap().contains("softiov_vfs_used"));
        let error = client.get::<VmView>("/v1/vms/nobody").unwrap_err();
        assert!(matches!(&error, ClientError::Refused { status: 404, code, .. } if code == "no_such_thing"));
        assert_eq!(error.to_string(), "there is no vm \"nobody\"");
        let error = client.get::<VmView>("/v1/vfs").unwrap_err();
        assert!(matches!(error, ClientError::Nonsense { .. }), "{error}");
        let error = client.get::<VmView>("/v1 /vfs").unwrap_err();
        assert!(matches!(error, ClientError::BadRequest { .. }), "{error}");
        // A name with a slash is one segment of a path.
        let path = format!("/v1/port/{}/acl", Client::segment("alpha/net0"));
        assert_eq!(client.get::<Vec<crate::types::AclRuleView>>(&path).unwrap().len(), 1);
        let change = PolicyChange::Set(vec!["dhcp-guard=on".to_owned()]);
        let path = format!("/v1/port/{}/policy", Client::segment("ä"));
        assert_eq!(client.post::<Vec<String>>(&path, &change).unwrap().len(), 1);
        client.delete("/v1/vms/alpha").unwrap();
        assert!(client.get::<Vec<VmView>>("/v1/vms").unwrap().is_empty());
        let bad = serde_json::json!({"point": "moon", "snaplen": 1});
        let error = client.post::<()>("/v1/capture", &bad).unwrap_err();
        assert!(matches!(error, ClientError::Refused { status: 422, .. }), "{error}");
    })
    .await;
}

#[test]
fn without_a_daemon_the_error_says_how_to_get_one() {
    let error = Client::unix("/nowhere/control.sock".into()).text("/metrics").unwrap_err();
    assert!(error.to_string().contains("/nowhere/control.sock"), "{error}");
    assert!(error.to_string().contains("softiov run -c FILE"), "{error}");
}
