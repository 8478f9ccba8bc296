use super::ApiConfig;
use crate::access::Role;

const DIGITS: &str = "00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff";

fn error(config: &str) -> String {
    toml::from_str::<ApiConfig>(config).unwrap_err().to_string()
}

#[test]
fn without_a_word_only_the_daemons_user_gets_in() {
    let config: ApiConfig = toml::from_str("").unwrap();
    assert_eq!(config, ApiConfig::default());
    assert_eq!(config.socket_mode.bits(), 0o600);
    assert!(config.users.is_empty() && config.tcp.is_none());
}

#[test]
fn all_that_can_be_said_is_understood() {
    let colons: Vec<&str> = (0..32).map(|byte| &DIGITS[2 * byte..2 * byte + 2]).collect();
    let config = format!(
        r#"
        socket_mode = "0660"
        [[user]]
        uid = 1000
        role = "viewer"
        [tcp]
        listen = "[::1]:8443"
        cert = "/c"
        key = "/k"
        client_ca = "/a"
        [[tcp.client]]
        fingerprint = "{}"
        role = "admin"
        "#,
        colons.join(":")
    );
    let config: ApiConfig = toml::from_str(&config).unwrap();
    assert_eq!(config.socket_mode.bits(), 0o660);
    assert_eq!((config.users[0].uid, config.users[0].role), (1000, Role::Viewer));
    let client = config.tcp.unwrap().clients[0];
    assert_eq!((client.fingerprint.to_string(), client.role), (DIGITS.to_lowercase(), Role::Admin));
}

#[test]
fn each_value_that_cannot_be_is_named() {
    let user = |uid, role| format!("[[user]]\nuid = {uid}\nrole = \"{role}\"\n");
    let tcp = |rest: &str| {
        format!("[tcp]\nlisten = \"127.0.0.1:1\"\ncert = \"c\"\nkey = \"k\"\nclient_ca = \"a\"\n{rest}")
    };
    let client = |digits: &str| format!("[[tcp.client]]\nfingerprint = \"{digits}\"\nrole = \"viewer\"\n");
    for (config, named) in [
        ("socket_mode = \"0777\"".to_owned(), "0777"),
        ("socket_mode = \"0060\"".to_owned(), "0060"),
        ("socket_mode = \"rw\"".to_owned(), "rw"),
        ("mode = \"0600\"".to_owned(), "mode"),
        (user(7, "king"), "king"),
        (user(7, "viewer") + &user(7, "admin"), "uid 7 is listed twice"),
        (user(-1, "viewer"), "-1"),
        (tcp("ca = \"x\""), "ca"),
        (tcp(&client("00")), "\"00\" is not a SHA-256 fingerprint"),
        (tcp(&client(&DIGITS.replace('F', "g"))), "fingerprint"),
        (tcp(&client(&format!("{DIGITS}0"))), "fingerprint"),
        (tcp(&(client(DIGITS) + &client(DIGITS))), "is listed twice"),
        ("[tcp]\nlisten = \"here\"".to_owned(), "socket address"),
    ] {
        let error = error(&config);
        assert!(error.contains(named), "{config}: {error}");
        assert!(error.contains("line"), "{config}: {error}");
    }
}
