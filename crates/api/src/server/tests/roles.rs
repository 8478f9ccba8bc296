//! Every operation with every role.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::memory::Memory;
use super::table::OPERATIONS;
use super::{LIMITS, connect, http};
use crate::access::Role;

#[tokio::test]
async fn each_operation_is_done_for_those_who_may_and_refused_to_all_others() {
    for operation in &OPERATIONS {
        for role in [None, Some(Role::Viewer), Some(Role::Operator), Some(Role::Admin)] {
            let service = Arc::new(Memory::new());
            let stream = connect(&service, role, LIMITS);
            let answer = http::ask(stream, operation.method, operation.path, operation.body).await;
            let what = format!("{} {} as {role:?}", operation.method, operation.path);
            if role >= Some(operation.role) {
                assert_eq!(answer.status, operation.status, "{what}: {answer:?}");
                continue;
            }
            let (error, code) = answer.refusal();
            assert_eq!((answer.status, code.as_str()), (403, "forbidden"), "{what}");
            assert!(error.contains("uid 1000"), "{what}: {error}");
            assert!(error.contains(&format!("needs the role {}", operation.role)), "{what}: {error}");
            assert_eq!(role.is_none(), error.contains("[[api.user]]"), "{what}: {error}");
        }
    }
}

#[test]
fn the_table_has_each_operation_of_the_description() {
    let mut described = BTreeSet::new();
    for (path, mut item) in crate::openapi().paths.paths {
        for (method, operation) in crate::openapi::operations(&mut item) {
            let row = OPERATIONS.iter().find(|row| row.method == method.as_str() && row.route == path);
            let role = row.unwrap_or_else(|| panic!("{method} {path} is in no row")).role;
            let text = operation.description.as_deref().unwrap_or_default();
            assert!(text.ends_with(&format!("Needs the role {role}.")), "{method} {path}: {text}");
            described.insert((method.to_string(), path.clone()));
        }
    }
    assert_eq!(described.len(), OPERATIONS.len());
}

#[tokio::test]
async fn strangers_do_not_learn_what_there_is() {
    let service = Arc::new(Memory::new());
    for (method, path) in [("GET", "/v1/nothing"), ("DELETE", "/v1/topology"), ("GET", "/v1/vms/nobody")] {
        let answer = http::ask(connect(&service, None, LIMITS), method, path, None).await;
        assert_eq!((answer.status, answer.refusal().1.as_str()), (403, "forbidden"), "{method} {path}");
    }
}
