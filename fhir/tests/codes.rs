//! Every code against its literal: system, code, display.

use std::collections::BTreeSet;

use kithkin_fhir::code::{
    ActReason, AgentRole, AgentType, ConsentState, ContactRole, DataOperation, EntityRole,
    EntityType, EventAction, EventOutcome, EventSubtype, EventType, IssueType, NetworkType,
    Relationship, Severity, SourceType,
};

const THO: &str = "http://terminology.hl7.org/CodeSystem/";
const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const FHIR: &str = "http://hl7.org/fhir/";

/// The list of an enum beside its literals: all members, in order, and back from the code.
macro_rules! same {
    ($name:ident, [$(($system:expr, $code:literal, $display:literal)),+ $(,)?]) => {{
        let expected = [$(($system.to_string(), $code, $display)),+];
        let found: Vec<_> = $name::ALL
            .iter()
            .map(|one| (one.system().to_owned(), one.code(), one.display()))
            .collect();
        assert_eq!(found, expected, stringify!($name));
        let codes: BTreeSet<_> = $name::ALL.iter().map(|one| one.code()).collect();
        assert_eq!(codes.len(), $name::ALL.len(), "a code of {} twice", stringify!($name));
        for one in $name::ALL {
            assert_eq!($name::parse(one.code()), Some(*one));
        }
        for bad in ["", "?", "btg ", "ALL"] {
            assert_eq!($name::parse(bad), None);
        }
    }};
}

#[test]
fn reasons_operations_and_parts() {
    let reason = format!("{THO}v3-ActReason");
    same!(
        ActReason,
        [
            (reason, "BTG", "break the glass"),
            (reason, "ETREAT", "Emergency Treatment"),
            (reason, "TREAT", "treatment"),
            (reason, "FAMRQT", "family requested"),
            (reason, "SUPNWK", "support network"),
            (reason, "PWATRNY", "power of attorney"),
            (reason, "PATRQT", "patient requested"),
            (reason, "HCOMPL", "health compliance"),
            (reason, "HTEST", "test health data"),
        ]
    );
    let operation = format!("{THO}v3-DataOperation");
    same!(
        DataOperation,
        [
            (operation, "CREATE", "create"),
            (operation, "READ", "read"),
            (operation, "UPDATE", "revise"),
            (operation, "APPEND", "append"),
            (operation, "DELETE", "delete"),
            (operation, "NULLIFY", "nullify"),
        ]
    );
    let part = format!("{THO}provenance-participant-type");
    same!(
        AgentRole,
        [
            (part, "author", "Author"),
            (part, "verifier", "Verifier"),
            (part, "custodian", "Custodian"),
        ]
    );
}

#[test]
fn kin_and_contacts() {
    let role = format!("{THO}v3-RoleCode");
    same!(
        Relationship,
        [
            (role, "SPS", "spouse"),
            (role, "CHILD", "child"),
            (role, "PRN", "parent"),
            (role, "SIB", "sibling"),
            (role, "EXT", "extended family member"),
            (role, "FAMMEMB", "family member"),
            (role, "FRND", "unrelated friend"),
            (role, "NBOR", "neighbor"),
            (role, "SIGOTHR", "significant other"),
            (role, "DOMPART", "domestic partner"),
        ]
    );
    let contact = format!("{THO}v2-0131");
    same!(
        ContactRole,
        [
            (contact, "C", "Emergency Contact"),
            (contact, "N", "Next-of-Kin")
        ]
    );
    let state = format!("{FHIR}consent-state-codes");
    same!(
        ConsentState,
        [(state, "active", "Active"), (state, "inactive", "Inactive")]
    );
}

#[test]
fn what_an_audit_event_is() {
    let rest = format!("{THO}audit-event-type");
    same!(
        EventType,
        [
            (rest, "rest", "Restful Operation"),
            (DCM, "110100", "Application Activity"),
            (DCM, "110106", "Export"),
            (DCM, "110107", "Import"),
            (DCM, "110113", "Security Alert"),
        ]
    );
    let interaction = format!("{FHIR}restful-interaction");
    let authorization = "https://profiles.ihe.net/ITI/BALP/CodeSystem/AuthZsubType";
    let lifecycle = format!("{THO}iso-21089-lifecycle");
    same!(
        EventSubtype,
        [
            (interaction, "read", "read"),
            (interaction, "delete", "delete"),
            (
                authorization,
                "AuthZ-Consent",
                "Authorization Decision using Roles and Consent"
            ),
            (lifecycle, "disclose", "Disclose Record Lifecycle Event"),
            (DCM, "110120", "Application Start"),
            (DCM, "110121", "Application Stop"),
            (DCM, "110127", "Emergency Override Started"),
            (DCM, "110138", "Emergency Override Stopped"),
            (DCM, "110135", "Object Security Attributes Changed"),
            (DCM, "110136", "Security Roles Changed"),
            (DCM, "110137", "User security Attributes Changed"),
        ]
    );
    let action = format!("{FHIR}audit-event-action");
    same!(
        EventAction,
        [
            (action, "C", "Create"),
            (action, "R", "Read/View/Print"),
            (action, "U", "Update"),
            (action, "D", "Delete"),
            (action, "E", "Execute"),
        ]
    );
    let outcome = format!("{THO}audit-event-outcome");
    same!(
        EventOutcome,
        [(outcome, "0", "Success"), (outcome, "8", "Serious failure")]
    );
}

#[test]
fn who_and_what_is_in_an_audit_event() {
    same!(
        AgentType,
        [
            (DCM, "110150", "Application"),
            (DCM, "110152", "Destination Role ID"),
            (DCM, "110153", "Source Role ID"),
            (
                format!("{THO}v3-ParticipationType"),
                "IRCP",
                "information recipient"
            ),
            (
                format!("{THO}v3-ParticipationType"),
                "AUT",
                "author (originator)"
            ),
            (format!("{THO}v3-RoleClass"), "PROV", "healthcare provider"),
            (
                format!("{THO}extra-security-role-type"),
                "authserver",
                "authorization server"
            ),
            ("http://snomed.info/sct", "429577009", "Patient Advocate"),
            (
                format!("{THO}provenance-participant-type"),
                "custodian",
                "Custodian"
            ),
        ]
    );
    let entity = format!("{THO}audit-entity-type");
    same!(
        EntityType,
        [
            (entity, "1", "Person"),
            (entity, "2", "System Object"),
            (entity, "3", "Organization"),
            (entity, "4", "Other"),
            (format!("{FHIR}resource-types"), "Consent", "Consent"),
        ]
    );
    let role = format!("{THO}object-role");
    same!(
        EntityRole,
        [
            (role, "1", "Patient"),
            (role, "4", "Domain Resource"),
            (role, "11", "Security User Entity"),
            (role, "12", "Security User Group"),
            (role, "13", "Security Resource"),
            (role, "17", "Data Repository"),
        ]
    );
    let source = format!("{THO}security-source-type");
    same!(
        SourceType,
        [
            (source, "1", "User Device"),
            (source, "4", "Application Server"),
            (source, "6", "Security Server"),
        ]
    );
    let network = format!("{FHIR}network-type");
    same!(
        NetworkType,
        [
            (network, "1", "Machine Name"),
            (network, "2", "IP Address"),
            (network, "5", "URI"),
        ]
    );
}

#[test]
fn issues() {
    let severity = format!("{FHIR}issue-severity");
    same!(
        Severity,
        [
            (severity, "fatal", "Fatal"),
            (severity, "error", "Error"),
            (severity, "warning", "Warning"),
            (severity, "information", "Information"),
        ]
    );
    let issue = format!("{FHIR}issue-type");
    same!(
        IssueType,
        [
            (issue, "invalid", "Invalid Content"),
            (issue, "structure", "Structural Issue"),
            (issue, "required", "Required element missing"),
            (issue, "value", "Element value invalid"),
            (issue, "security", "Security Problem"),
            (issue, "login", "Login Required"),
            (issue, "expired", "Session Expired"),
            (issue, "forbidden", "Forbidden"),
            (issue, "suppressed", "Information  Suppressed"),
            (issue, "processing", "Processing Failure"),
            (issue, "not-supported", "Content not supported"),
            (issue, "duplicate", "Duplicate"),
            (issue, "not-found", "Not Found"),
            (issue, "deleted", "Deleted"),
            (issue, "too-long", "Content Too Long"),
            (issue, "too-costly", "Operation Too Costly"),
            (issue, "business-rule", "Business Rule Violation"),
            (issue, "conflict", "Edit Version Conflict"),
            (issue, "transient", "Transient Issue"),
            (issue, "exception", "Exception"),
            (issue, "timeout", "Timeout"),
            (issue, "incomplete", "Incomplete Results"),
            (issue, "throttled", "Throttled"),
            (issue, "informational", "Informational Note"),
        ]
    );
}
