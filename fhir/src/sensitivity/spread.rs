//! How sensitivity spreads along references, until nothing changes.
//!
//! Not here: how a resource comes to be sensitive by itself (`scan.rs`).

use super::scan::Scan;
use crate::bundle::{Entry, Resource};

/// Statements complete in themselves: that they were made at a sensitive encounter does not make
/// them sensitive. Every other type (notes, reports, claims, letters) may retell the encounter.
const COMPLETE_IN_THEMSELVES: [&str; 17] = [
    "AllergyIntolerance",
    "CarePlan",
    "Condition",
    "Consent",
    "Device",
    "DeviceUseStatement",
    "Flag",
    "Goal",
    "Immunization",
    "MedicationAdministration",
    "MedicationDispense",
    "MedicationRequest",
    "MedicationStatement",
    "Observation",
    "Procedure",
    "ServiceRequest",
    "Specimen",
];

/// Types that have no meaning but through the resources that refer to them.
const CARRIED: [&str; 6] = [
    "Binary",
    "BodyStructure",
    "Media",
    "Medication",
    "Specimen",
    "Substance",
];

/// One entry as the spreading sees it.
#[derive(Debug)]
pub(super) struct Node {
    /// Sensitive by its own label or code.
    by_itself: bool,
    /// Sensitive before anything spreads.
    sensitive: bool,
    carried: bool,
    patient: bool,
    /// Places of the entries it refers to, each once.
    out: Vec<usize>,
    /// Those of them whose sensitivity it takes over.
    takes_from: Vec<usize>,
    /// Those of them that are members of it, as a panel.
    members: Vec<usize>,
}

impl Node {
    pub(super) fn new(
        entry: &Entry<'_>,
        scan: &Scan,
        by_itself: bool,
        sensitive: bool,
        resolve: impl Fn(&str) -> Option<usize>,
    ) -> Self {
        let kind = entry.resource().map_or("", Resource::resource_type);
        let mut node = Self {
            by_itself,
            sensitive,
            carried: CARRIED.contains(&kind),
            patient: kind == "Patient",
            out: Vec::new(),
            takes_from: Vec::new(),
            members: Vec::new(),
        };
        for (name, reference) in &scan.references {
            let Some(target) = resolve(reference) else {
                continue;
            };
            node.out.push(target);
            let only_where = matches!(name.as_str(), "encounter" | "context")
                && COMPLETE_IN_THEMSELVES.contains(&kind);
            if !only_where {
                node.takes_from.push(target);
            }
            if matches!(name.as_str(), "result" | "hasMember") {
                node.members.push(target);
            }
        }
        for list in [&mut node.out, &mut node.takes_from, &mut node.members] {
            list.sort_unstable();
            list.dedup();
        }
        node
    }
}

/// Which nodes are sensitive in the end. Linear in the number of references.
pub(super) fn spread(nodes: &[Node]) -> Vec<bool> {
    let mut state = State {
        nodes,
        sensitive: vec![false; nodes.len()],
        panel: vec![false; nodes.len()],
        harmless_referrers: vec![0; nodes.len()],
        todo: Vec::new(),
    };
    let mut takers: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (at, node) in nodes.iter().enumerate() {
        for target in &node.out {
            if let Some(count) = state.harmless_referrers.get_mut(*target) {
                *count += 1;
            }
        }
        for target in &node.takes_from {
            if let Some(list) = takers.get_mut(*target) {
                list.push(at);
            }
        }
    }
    for (at, node) in nodes.iter().enumerate() {
        if node.sensitive {
            state.mark(at, node.by_itself);
        }
    }
    while let Some((at, first_time)) = state.todo.pop() {
        if first_time && nodes.get(at).is_some_and(|node| !node.patient) {
            for taker in takers.get(at).into_iter().flatten() {
                if nodes.get(*taker).is_some_and(|node| !node.patient) {
                    state.mark(*taker, false);
                }
            }
        }
        state.hand_down(at, first_time);
    }
    state.sensitive
}

struct State<'n> {
    nodes: &'n [Node],
    sensitive: Vec<bool>,
    /// Sensitive by itself, or a member of such a one: its members are sensitive too.
    panel: Vec<bool>,
    /// How many resources that are not sensitive refer to this one.
    harmless_referrers: Vec<usize>,
    /// Whose consequences are still to be drawn, and whether for the first time.
    todo: Vec<(usize, bool)>,
}

impl State<'_> {
    fn mark(&mut self, at: usize, panel: bool) {
        let (Some(sensitive), Some(is_panel)) =
            (self.sensitive.get_mut(at), self.panel.get_mut(at))
        else {
            return;
        };
        let first_time = !*sensitive;
        let newly_panel = panel && !*is_panel;
        *sensitive = true;
        *is_panel |= panel;
        if first_time || newly_panel {
            self.todo.push((at, first_time));
        }
    }

    /// From a sensitive resource to what has its meaning through it.
    fn hand_down(&mut self, at: usize, first_time: bool) {
        let nodes = self.nodes;
        let Some(node) = nodes.get(at) else {
            return;
        };
        if self.panel.get(at).copied().unwrap_or(false) {
            for member in &node.members {
                if nodes.get(*member).is_some_and(|node| !node.patient) {
                    self.mark(*member, true);
                }
            }
        }
        if !first_time {
            return;
        }
        for target in &node.out {
            let Some(left) = self.harmless_referrers.get_mut(*target) else {
                continue;
            };
            *left = left.saturating_sub(1);
            if *left == 0 && nodes.get(*target).is_some_and(|node| node.carried) {
                self.mark(*target, false);
            }
        }
    }
}
