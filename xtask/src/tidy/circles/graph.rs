//! Circles of a directed graph.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The edges from each node.
pub(super) type Edges = BTreeMap<String, BTreeSet<String>>;

/// Collects edges from pairs.
pub(super) fn edges<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Edges {
    let mut edges = Edges::new();
    for (from, to) in pairs {
        edges.entry(from.to_owned()).or_default().insert(to.to_owned());
    }
    edges
}

/// Returns every set of two or more nodes of which each can reach each other, in alphabetical order.
pub(super) fn knots(edges: &Edges) -> Vec<Vec<String>> {
    let reach: BTreeMap<&String, BTreeSet<&String>> =
        edges.keys().map(|node| (node, reachable(edges, node))).collect();
    let mut done = BTreeSet::new();
    let mut knots = Vec::new();
    for node in edges.keys() {
        let with = |other: &&&String| reach.get(**other).is_some_and(|back| back.contains(node));
        let knot: Vec<String> = reach[node].iter().filter(with).map(|other| (*other).clone()).collect();
        if knot.len() > 1 && done.insert(knot.clone()) {
            knots.push(knot);
        }
    }
    knots
}

fn reachable<'a>(edges: &'a Edges, from: &String) -> BTreeSet<&'a String> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&String> = edges.get(from).into_iter().flatten().collect();
    while let Some(node) = open.pop() {
        if seen.insert(node) {
            open.extend(edges.get(node).into_iter().flatten());
        }
    }
    seen
}

/// Returns circles that together hold every node of a knot: the shortest one through each node that no earlier
/// circle holds. The first node of a circle is also its last.
pub(super) fn circles(edges: &Edges, knot: &[String]) -> Vec<Vec<String>> {
    let mut circles: Vec<Vec<String>> = Vec::new();
    for node in knot {
        if !circles.iter().any(|circle| circle.contains(node)) {
            circles.extend(shortest_circle(edges, node));
        }
    }
    circles
}

fn shortest_circle(edges: &Edges, start: &String) -> Option<Vec<String>> {
    let mut before: BTreeMap<&String, &String> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(node) = open.pop_front() {
        for next in edges.get(node).into_iter().flatten() {
            if next == start {
                let mut circle = vec![start.clone(), node.clone()];
                while circle[circle.len() - 1] != *start {
                    circle.push(before[&circle[circle.len() - 1]].clone());
                }
                circle.reverse();
                return Some(circle);
            }
            if !before.contains_key(next) {
                before.insert(next, node);
                open.push_back(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_has_no_circle() {
        assert!(knots(&edges([("a", "b"), ("a", "c"), ("b", "c")])).is_empty());
    }

    #[test]
    fn knots_are_found_apart_and_each_circle_is_short() {
        let graph =
            edges([("a", "b"), ("b", "c"), ("c", "a"), ("c", "b"), ("c", "d"), ("x", "y"), ("y", "x")]);
        let found = knots(&graph);
        assert_eq!(found, [vec!["a", "b", "c"], vec!["x", "y"]]);
        assert_eq!(circles(&graph, &found[0]), [["a", "b", "c", "a"]]);
        assert_eq!(circles(&graph, &found[1]), [["x", "y", "x"]]);
    }

    #[test]
    fn every_node_of_a_knot_is_in_a_circle() {
        let graph = edges([("a", "b"), ("b", "a"), ("b", "c"), ("c", "b")]);
        assert_eq!(circles(&graph, &knots(&graph)[0]), [["a", "b", "a"], ["c", "b", "c"]]);
    }
}
