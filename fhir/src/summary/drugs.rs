//! Medications that change what an emergency room may do: anticoagulants and insulin.
//!
//! Sources: WHO ATC groups B01AA, B01AB, B01AE, B01AF, B01AX05 and A10A; RxNorm ingredients; and
//! names of ingredients and widespread brands, because product codes are too many to list.

use serde_json::Value;

use crate::json;

/// Why a medication is marked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mark {
    Anticoagulant,
    Insulin,
}

impl Mark {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Anticoagulant => "ANTICOAGULANT",
            Self::Insulin => "INSULIN",
        }
    }
}

use Mark::{Anticoagulant, Insulin};

const ATC: [(&str, Mark); 6] = [
    ("B01AA", Anticoagulant),
    ("B01AB", Anticoagulant),
    ("B01AE", Anticoagulant),
    ("B01AF", Anticoagulant),
    ("B01AX05", Anticoagulant),
    ("A10A", Insulin),
];

const RXNORM: [(&str, Mark); 13] = [
    ("11289", Anticoagulant),   // warfarin
    ("1364430", Anticoagulant), // apixaban
    ("1114195", Anticoagulant), // rivaroxaban
    ("1037042", Anticoagulant), // dabigatran etexilate
    ("1599538", Anticoagulant), // edoxaban
    ("5224", Anticoagulant),    // heparin
    ("67108", Anticoagulant),   // enoxaparin
    ("67109", Anticoagulant),   // dalteparin
    ("321208", Anticoagulant),  // fondaparinux
    ("274783", Insulin),        // insulin glargine
    ("86009", Insulin),         // insulin lispro
    ("51428", Insulin),         // insulin aspart
    ("139825", Insulin),        // insulin detemir
];

const WORDS: [(&str, Mark); 36] = [
    ("acenocoumarol", Anticoagulant),
    ("anticoagulant", Anticoagulant),
    ("apixaban", Anticoagulant),
    ("argatroban", Anticoagulant),
    ("betrixaban", Anticoagulant),
    ("bivalirudin", Anticoagulant),
    ("coumadin", Anticoagulant),
    ("dabigatran", Anticoagulant),
    ("dalteparin", Anticoagulant),
    ("edoxaban", Anticoagulant),
    ("eliquis", Anticoagulant),
    ("enoxaparin", Anticoagulant),
    ("fluindione", Anticoagulant),
    ("fondaparinux", Anticoagulant),
    ("heparin", Anticoagulant),
    ("lixiana", Anticoagulant),
    ("lovenox", Anticoagulant),
    ("marcumar", Anticoagulant),
    ("nadroparin", Anticoagulant),
    ("phenprocoumon", Anticoagulant),
    ("pradaxa", Anticoagulant),
    ("rivaroxaban", Anticoagulant),
    ("savaysa", Anticoagulant),
    ("sintrom", Anticoagulant),
    ("tinzaparin", Anticoagulant),
    ("warfarin", Anticoagulant),
    ("xarelto", Anticoagulant),
    ("humalog", Insulin),
    ("humulin", Insulin),
    ("insulin", Insulin),
    ("lantus", Insulin),
    ("levemir", Insulin),
    ("novolog", Insulin),
    ("novorapid", Insulin),
    ("toujeo", Insulin),
    ("tresiba", Insulin),
];

/// The mark of the medication named by this CodeableConcept.
pub(super) fn mark(concept: &Value) -> Option<Mark> {
    let codings = || json::items(concept, "coding");
    let by_code = codings().find_map(|coding| {
        let code = json::text(coding, "code")?;
        match json::text(coding, "system")? {
            "http://www.whocc.no/atc" => ATC
                .iter()
                .find(|(group, _)| code.starts_with(group))
                .map(|(_, mark)| *mark),
            "http://www.nlm.nih.gov/research/umls/rxnorm" => RXNORM
                .iter()
                .find(|(ingredient, _)| *ingredient == code)
                .map(|(_, mark)| *mark),
            _ => None,
        }
    });
    by_code.or_else(|| {
        codings()
            .filter_map(|coding| json::text(coding, "display"))
            .chain(json::text(concept, "text"))
            .find_map(by_word)
    })
}

fn by_word(name: &str) -> Option<Mark> {
    let name = name.to_lowercase();
    name.split(|c: char| !c.is_alphanumeric()).find_map(|word| {
        WORDS
            .iter()
            .find(|(known, _)| *known == word)
            .map(|(_, mark)| *mark)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn marks_by_code_and_by_word() {
        let rxnorm = "http://www.nlm.nih.gov/research/umls/rxnorm";
        for (concept, expected) in [
            (
                json!({"text": "Warfarin Sodium 5 MG Oral Tablet"}),
                Some(Anticoagulant),
            ),
            (
                json!({"coding": [{"display": "insulin, human, isophane"}]}),
                Some(Insulin),
            ),
            (
                json!({"coding": [{"system": rxnorm, "code": "1364430"}]}),
                Some(Anticoagulant),
            ),
            (
                json!({"coding": [{"system": "http://www.whocc.no/atc", "code": "A10AE04"}]}),
                Some(Insulin),
            ),
            (json!({"text": "Metformin 500 MG"}), None),
            (json!({"text": "Loperamide"}), None),
            (json!(null), None),
        ] {
            assert_eq!(mark(&concept), expected, "{concept}");
        }
    }
}
