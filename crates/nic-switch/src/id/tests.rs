use super::{FilterId, FunctionId, VPortId, VfId};

#[test]
fn anomaly_0_10_the_pf_is_no_number_of_a_vf() {
    let functions = [FunctionId::Pf, FunctionId::Vf(VfId(0)), FunctionId::Vf(VfId(0xffff))];
    let text = serde_json::to_string(&functions).unwrap();
    assert_eq!(text, r#"["pf",{"vf":0},{"vf":65535}]"#);
    assert_eq!(serde_json::from_str::<[FunctionId; 3]>(&text).unwrap(), functions);
    assert!(serde_json::from_str::<FunctionId>("65535").is_err());
}

#[test]
fn ids_say_what_they_are_ids_of() {
    let shown =
        [VPortId(3).to_string(), VfId(0).to_string(), FilterId(7).to_string(), FunctionId::Pf.to_string()];
    assert_eq!(shown, ["VPort 3", "VF 0", "filter 7", "the PF"]);
    assert_eq!(FunctionId::Vf(VfId(2)).to_string(), "VF 2");
}
