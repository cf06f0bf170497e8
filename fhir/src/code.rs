//! Codes that are written: closed lists, each code with its system and its display.
//!
//! Displays are those of the code systems as R4 (4.0.1) publishes them. A code that is in none of
//! these lists is never written.
//!
//! Not here: codes that are read ([`crate::sensitivity`], [`crate::summary`]).

use serde_json::{Value, json};

const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const ACT_REASON: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
const DATA_OPERATION: &str = "http://terminology.hl7.org/CodeSystem/v3-DataOperation";
const PARTICIPANT: &str = "http://terminology.hl7.org/CodeSystem/provenance-participant-type";
const ROLE_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-RoleCode";
const CONTACT_ROLE: &str = "http://terminology.hl7.org/CodeSystem/v2-0131";
const ISSUE_SEVERITY: &str = "http://hl7.org/fhir/issue-severity";
const ISSUE_TYPE: &str = "http://hl7.org/fhir/issue-type";
const EVENT_TYPE: &str = "http://terminology.hl7.org/CodeSystem/audit-event-type";
const INTERACTION: &str = "http://hl7.org/fhir/restful-interaction";
const LIFECYCLE: &str = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle";
const AUTHORIZATION: &str = "https://profiles.ihe.net/ITI/BALP/CodeSystem/AuthZsubType";
const EVENT_ACTION: &str = "http://hl7.org/fhir/audit-event-action";
const EVENT_OUTCOME: &str = "http://terminology.hl7.org/CodeSystem/audit-event-outcome";
const PARTICIPATION: &str = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
const ROLE_CLASS: &str = "http://terminology.hl7.org/CodeSystem/v3-RoleClass";
const SECURITY_ROLE: &str = "http://terminology.hl7.org/CodeSystem/extra-security-role-type";
const SNOMED: &str = "http://snomed.info/sct";
const ENTITY_TYPE: &str = "http://terminology.hl7.org/CodeSystem/audit-entity-type";
const RESOURCE_TYPES: &str = "http://hl7.org/fhir/resource-types";
const OBJECT_ROLE: &str = "http://terminology.hl7.org/CodeSystem/object-role";
const SOURCE_TYPE: &str = "http://terminology.hl7.org/CodeSystem/security-source-type";
const NETWORK_TYPE: &str = "http://hl7.org/fhir/network-type";
const CONSENT_STATE: &str = "http://hl7.org/fhir/consent-state-codes";

/// How a code is written.
pub(crate) trait Coded: Copy {
    /// System, code, display.
    fn parts(self) -> (&'static str, &'static str, &'static str);

    /// As a Coding.
    fn coding(self) -> Value {
        let (system, code, display) = self.parts();
        json!({"system": system, "code": code, "display": display})
    }

    /// As a CodeableConcept.
    fn concept(self) -> Value {
        json!({"coding": [self.coding()]})
    }
}

/// A closed list of codes: the enum, its table, and the way back from a code.
macro_rules! codes {
    (
        $(#[$meta:meta])*
        $name:ident { $($(#[$doc:meta])* $variant:ident = $system:ident, $code:literal, $display:literal;)+ }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// Every code of the list, in its order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The code.
            #[must_use]
            pub fn code(self) -> &'static str {
                self.parts().1
            }

            /// The code's display in its system.
            #[must_use]
            pub fn display(self) -> &'static str {
                self.parts().2
            }

            /// The address of the code's system.
            #[must_use]
            pub fn system(self) -> &'static str {
                self.parts().0
            }

            /// The member with this code; none for any other text. Codes are case-sensitive.
            #[must_use]
            pub fn parse(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|member| member.code() == code)
            }
        }

        impl Coded for $name {
            fn parts(self) -> (&'static str, &'static str, &'static str) {
                match self {
                    $(Self::$variant => ($system, $code, $display),)+
                }
            }
        }
    };
}

codes! {
    /// Why something is done, or how data are labelled.
    ActReason {
        /// Somebody who is not provisioned overrides, for a threat to life.
        BreakGlass = ACT_REASON, "BTG", "break the glass";
        /// Treatment in an emergency.
        EmergencyTreatment = ACT_REASON, "ETREAT", "Emergency Treatment";
        /// Treatment.
        Treatment = ACT_REASON, "TREAT", "treatment";
        /// A family member acts.
        FamilyRequested = ACT_REASON, "FAMRQT", "family requested";
        /// A friend or neighbour acts.
        SupportNetwork = ACT_REASON, "SUPNWK", "support network";
        /// Somebody acts with power of attorney.
        PowerOfAttorney = ACT_REASON, "PWATRNY", "power of attorney";
        /// The patient acts.
        PatientRequested = ACT_REASON, "PATRQT", "patient requested";
        /// A review whether rules were kept.
        Compliance = ACT_REASON, "HCOMPL", "health compliance";
        /// Synthetic data.
        TestData = ACT_REASON, "HTEST", "test health data";
    }
}

codes! {
    /// What was done to the targets of a Provenance.
    DataOperation {
        /// Made.
        Create = DATA_OPERATION, "CREATE", "create";
        /// Read.
        Read = DATA_OPERATION, "READ", "read";
        /// Changed.
        Update = DATA_OPERATION, "UPDATE", "revise";
        /// Added to.
        Append = DATA_OPERATION, "APPEND", "append";
        /// Removed.
        Delete = DATA_OPERATION, "DELETE", "delete";
        /// Declared void.
        Nullify = DATA_OPERATION, "NULLIFY", "nullify";
    }
}

codes! {
    /// The part somebody played in a Provenance.
    AgentRole {
        /// Made it.
        Author = PARTICIPANT, "author", "Author";
        /// Checked it.
        Verifier = PARTICIPANT, "verifier", "Verifier";
        /// Keeps it.
        Custodian = PARTICIPANT, "custodian", "Custodian";
    }
}

codes! {
    /// What a friend or relative is to the patient.
    Relationship {
        /// Married to the patient.
        Spouse = ROLE_CODE, "SPS", "spouse";
        /// The patient's child.
        Child = ROLE_CODE, "CHILD", "child";
        /// The patient's parent.
        Parent = ROLE_CODE, "PRN", "parent";
        /// The patient's brother or sister.
        Sibling = ROLE_CODE, "SIB", "sibling";
        /// Of the wider family.
        ExtendedFamily = ROLE_CODE, "EXT", "extended family member";
        /// Of the family; nothing nearer is known.
        FamilyMember = ROLE_CODE, "FAMMEMB", "family member";
        /// A friend.
        Friend = ROLE_CODE, "FRND", "unrelated friend";
        /// A neighbour.
        Neighbour = ROLE_CODE, "NBOR", "neighbor";
        /// A partner in life, of whatever form.
        SignificantOther = ROLE_CODE, "SIGOTHR", "significant other";
        /// A partner in the same household.
        DomesticPartner = ROLE_CODE, "DOMPART", "domestic partner";
    }
}

codes! {
    /// What a contact of a patient is for.
    ContactRole {
        /// To be called in an emergency.
        Emergency = CONTACT_ROLE, "C", "Emergency Contact";
        /// Next of kin.
        NextOfKin = CONTACT_ROLE, "N", "Next-of-Kin";
    }
}

codes! {
    /// How grave an issue is.
    Severity {
        /// Nothing was done, and the system cannot go on.
        Fatal = ISSUE_SEVERITY, "fatal", "Fatal";
        /// It was not done.
        Error = ISSUE_SEVERITY, "error", "Error";
        /// It was done, but something may be wrong.
        Warning = ISSUE_SEVERITY, "warning", "Warning";
        /// Nothing is wrong.
        Information = ISSUE_SEVERITY, "information", "Information";
    }
}

codes! {
    /// What kind of issue it is. Of the 31 types of R4, those that this project can meet.
    IssueType {
        /// The content is invalid.
        Invalid = ISSUE_TYPE, "invalid", "Invalid Content";
        /// Not the structure of the resource.
        Structure = ISSUE_TYPE, "structure", "Structural Issue";
        /// A required element is missing.
        Required = ISSUE_TYPE, "required", "Required element missing";
        /// A value is invalid.
        Value = ISSUE_TYPE, "value", "Element value invalid";
        /// A security rule forbids it.
        Security = ISSUE_TYPE, "security", "Security Problem";
        /// The client must identify itself first.
        Login = ISSUE_TYPE, "login", "Login Required";
        /// The session is over.
        Expired = ISSUE_TYPE, "expired", "Session Expired";
        /// The client may not do this.
        Forbidden = ISSUE_TYPE, "forbidden", "Forbidden";
        /// Something is withheld.
        Suppressed = ISSUE_TYPE, "suppressed", "Information  Suppressed";
        /// Processing failed.
        Processing = ISSUE_TYPE, "processing", "Processing Failure";
        /// This is not supported.
        NotSupported = ISSUE_TYPE, "not-supported", "Content not supported";
        /// It exists already.
        Duplicate = ISSUE_TYPE, "duplicate", "Duplicate";
        /// It does not exist.
        NotFound = ISSUE_TYPE, "not-found", "Not Found";
        /// It existed and was deleted.
        Deleted = ISSUE_TYPE, "deleted", "Deleted";
        /// It is too long.
        TooLong = ISSUE_TYPE, "too-long", "Content Too Long";
        /// It would cost too much.
        TooCostly = ISSUE_TYPE, "too-costly", "Operation Too Costly";
        /// A rule of the project forbids it.
        BusinessRule = ISSUE_TYPE, "business-rule", "Business Rule Violation";
        /// Another change came first.
        Conflict = ISSUE_TYPE, "conflict", "Edit Version Conflict";
        /// It may succeed later.
        Transient = ISSUE_TYPE, "transient", "Transient Issue";
        /// An unexpected failure inside.
        Exception = ISSUE_TYPE, "exception", "Exception";
        /// It took too long.
        Timeout = ISSUE_TYPE, "timeout", "Timeout";
        /// Not all that was asked for is there.
        Incomplete = ISSUE_TYPE, "incomplete", "Incomplete Results";
        /// Too many requests.
        Throttled = ISSUE_TYPE, "throttled", "Throttled";
        /// A remark.
        Informational = ISSUE_TYPE, "informational", "Informational Note";
    }
}

codes! {
    /// What kind of event an AuditEvent records.
    EventType {
        /// A request to a FHIR server.
        Rest = EVENT_TYPE, "rest", "Restful Operation";
        /// A program started or stopped.
        ApplicationActivity = DCM, "110100", "Application Activity";
        /// Data were released.
        Export = DCM, "110106", "Export";
        /// Data were received.
        Import = DCM, "110107", "Import";
        /// Something that matters for security.
        SecurityAlert = DCM, "110113", "Security Alert";
    }
}

codes! {
    /// What exactly an AuditEvent records.
    EventSubtype {
        /// A resource was read.
        Read = INTERACTION, "read", "read";
        /// A resource was deleted.
        Delete = INTERACTION, "delete", "delete";
        /// Access was decided with a consent.
        ConsentDecision = AUTHORIZATION, "AuthZ-Consent", "Authorization Decision using Roles and Consent";
        /// Data left their keeper.
        Disclose = LIFECYCLE, "disclose", "Disclose Record Lifecycle Event";
        /// A node started.
        ApplicationStart = DCM, "110120", "Application Start";
        /// A node stopped.
        ApplicationStop = DCM, "110121", "Application Stop";
        /// The glass was broken.
        OverrideStarted = DCM, "110127", "Emergency Override Started";
        /// The emergency is over.
        OverrideStopped = DCM, "110138", "Emergency Override Stopped";
        /// Keys of records changed.
        ObjectSecurity = DCM, "110135", "Object Security Attributes Changed";
        /// A roster changed.
        SecurityRoles = DCM, "110136", "Security Roles Changed";
        /// The keys of a member changed.
        UserSecurity = DCM, "110137", "User security Attributes Changed";
    }
}

codes! {
    /// What an event does to its objects.
    EventAction {
        /// Creates.
        Create = EVENT_ACTION, "C", "Create";
        /// Reads.
        Read = EVENT_ACTION, "R", "Read/View/Print";
        /// Changes.
        Update = EVENT_ACTION, "U", "Update";
        /// Deletes.
        Delete = EVENT_ACTION, "D", "Delete";
        /// Runs.
        Execute = EVENT_ACTION, "E", "Execute";
    }
}

codes! {
    /// How an event ended.
    EventOutcome {
        /// As asked.
        Success = EVENT_OUTCOME, "0", "Success";
        /// Refused.
        Failure = EVENT_OUTCOME, "8", "Serious failure";
    }
}

codes! {
    /// The part an agent plays in an AuditEvent.
    AgentType {
        /// The program that asks or runs.
        Application = DCM, "110150", "Application";
        /// Where data go.
        Destination = DCM, "110152", "Destination Role ID";
        /// Where data come from.
        Source = DCM, "110153", "Source Role ID";
        /// Who receives information.
        Recipient = PARTICIPATION, "IRCP", "information recipient";
        /// Who orders a change.
        Author = PARTICIPATION, "AUT", "author (originator)";
        /// The hospital behind a clinician.
        Provider = ROLE_CLASS, "PROV", "healthcare provider";
        /// Who decides about access.
        Authorizer = SECURITY_ROLE, "authserver", "authorization server";
        /// Who speaks for the patient.
        PatientAdvocate = SNOMED, "429577009", "Patient Advocate";
        /// Whose machine holds the data.
        Custodian = PARTICIPANT, "custodian", "Custodian";
    }
}

codes! {
    /// What an entity of an AuditEvent is.
    EntityType {
        /// A person.
        Person = ENTITY_TYPE, "1", "Person";
        /// Data, or a machine.
        SystemObject = ENTITY_TYPE, "2", "System Object";
        /// An organisation.
        Organization = ENTITY_TYPE, "3", "Organization";
        /// Anything else: here, the ledger's transaction.
        Other = ENTITY_TYPE, "4", "Other";
        /// A Consent.
        Consent = RESOURCE_TYPES, "Consent", "Consent";
    }
}

codes! {
    /// The part that an entity plays in an AuditEvent.
    EntityRole {
        /// The patient.
        Patient = OBJECT_ROLE, "1", "Patient";
        /// Records.
        DomainResource = OBJECT_ROLE, "4", "Domain Resource";
        /// A member of a roster.
        SecurityUser = OBJECT_ROLE, "11", "Security User Entity";
        /// A roster.
        SecurityGroup = OBJECT_ROLE, "12", "Security User Group";
        /// A key, or an emergency case.
        SecurityResource = OBJECT_ROLE, "13", "Security Resource";
        /// The ledger.
        DataRepository = OBJECT_ROLE, "17", "Data Repository";
    }
}

codes! {
    /// What recorded an event.
    SourceType {
        /// The device of a person.
        UserDevice = SOURCE_TYPE, "1", "User Device";
        /// A node.
        ApplicationServer = SOURCE_TYPE, "4", "Application Server";
        /// Whoever decides about access.
        SecurityServer = SOURCE_TYPE, "6", "Security Server";
    }
}

codes! {
    /// What kind of address a machine has.
    NetworkType {
        /// A name, also of a domain.
        MachineName = NETWORK_TYPE, "1", "Machine Name";
        /// An IP address.
        IpAddress = NETWORK_TYPE, "2", "IP Address";
        /// A URI.
        Uri = NETWORK_TYPE, "5", "URI";
    }
}

codes! {
    /// Whether a Consent counts.
    ConsentState {
        /// It counts.
        Active = CONSENT_STATE, "active", "Active";
        /// It counts no more: revoked, or over.
        Inactive = CONSENT_STATE, "inactive", "Inactive";
    }
}
