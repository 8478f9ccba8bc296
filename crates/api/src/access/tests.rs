use axum::http::Method;

use super::{Access, Identity, Role, needed_role};
use crate::config::ApiConfig;

fn access(config: &str) -> Access {
    Access::new(&toml::from_str::<ApiConfig>(config).unwrap())
}

#[test]
fn a_listed_user_has_its_role_and_others_have_none() {
    let access = access("[[user]]\nuid = 4001\nrole = \"operator\"");
    assert_eq!(access.peer(Identity::Uid(4001)).role, Some(Role::Operator));
    assert_eq!(access.peer(Identity::Uid(4002)).role, None);
}

#[test]
fn root_and_the_user_of_the_daemon_are_admins_whatever_is_listed() {
    let own = rustix::process::geteuid().as_raw();
    let access = access(&format!("user = [{{ uid = {own}, role = \"viewer\" }}]"));
    for uid in [0, own] {
        assert_eq!(access.peer(Identity::Uid(uid)).role, Some(Role::Admin), "{uid}");
    }
}

#[test]
fn what_no_rule_names_is_for_admins() {
    for (method, path) in
        [(Method::POST, "/v1/new"), (Method::PUT, "/v1/trace"), (Method::DELETE, "/v1/capture")]
    {
        assert_eq!(needed_role(&method, path), Role::Admin, "{method} {path}");
    }
    assert_eq!(needed_role(&Method::HEAD, "/v1/vms"), Role::Viewer);
}
