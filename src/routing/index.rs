//! Which rows hold a code: a prefix tree on HS digits, compiled when a rule set is loaded (domain brief, 7.4).
//!
//! Every range becomes the fewest aligned prefixes that cover it, and each prefix a node of the tree with a mark for
//! the row that names it; an exclusion is a mark too, so that one walk of at most ten steps decides about the goods of
//! every row, exactly. A class stands in the tree once, however many rows name it: memory is proportional to what the
//! files say, whatever the ranges span.
//!
//! Does not know the other conditions of a row.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::goods::{CODES, Goods, HsRange, HsSet};

/// The tree with its rows.
#[derive(Debug)]
pub(super) struct GoodsIndex {
    /// The first is the root, which stands for every code.
    nodes: Vec<Node>,
    /// For each class the rows that name it.
    classes: Vec<Vec<Mark>>,
}

/// A prefix of codes.
#[derive(Debug, Default)]
struct Node {
    /// The node of one more digit; 0, the root, where there is none.
    children: [usize; 10],
    rows: Vec<Mark>,
    classes: Vec<Mark>,
}

/// Somebody names these goods. In order, what excludes comes right behind what includes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mark {
    /// Number of the row, or of the class.
    who: usize,
    excludes: bool,
}

impl GoodsIndex {
    /// Compiles the goods of rows, which are numbered as they come.
    pub(super) fn of<'a>(rows: impl Iterator<Item = &'a Goods>) -> Self {
        let mut index = Self { nodes: vec![Node::default()], classes: Vec::new() };
        // Rows that name the same class share it: its address is its identity, and its number that of the first use.
        let mut known: BTreeMap<*const HsSet, usize> = BTreeMap::new();
        for (row, goods) in rows.enumerate() {
            if goods.own.within.is_empty() && goods.classes.is_empty() {
                index.nodes[0].rows.push(Mark { who: row, excludes: false });
            }
            index.add_set(&goods.own, |node| &mut node.rows, row);
            let named = goods.classes.iter().map(|class| (class, false));
            for (class, excludes) in named.chain(goods.without_classes.iter().map(|class| (class, true))) {
                let number = *known.entry(Arc::as_ptr(class)).or_insert_with(|| index.add_class(class));
                index.classes[number].push(Mark { who: row, excludes });
            }
        }
        index
    }

    /// The rows that hold the code, ascending, each once.
    pub(super) fn holding(&self, code: u64) -> Vec<usize> {
        let (mut rows, mut classes) = (Vec::new(), Vec::new());
        let mut node = &self.nodes[0];
        let mut size = CODES;
        let mut rest = code;
        loop {
            rows.extend_from_slice(&node.rows);
            classes.extend_from_slice(&node.classes);
            size /= 10;
            let Some(digit) = rest.checked_div(size) else { break };
            rest %= size;
            match usize::try_from(digit).map(|digit| node.children[digit]) {
                Ok(child) if child != 0 => node = &self.nodes[child],
                _ => break,
            }
        }
        for class in settled(&mut classes) {
            rows.extend_from_slice(&self.classes[class]);
        }
        settled(&mut rows)
    }

    fn add_class(&mut self, class: &HsSet) -> usize {
        let number = self.classes.len();
        self.classes.push(Vec::new());
        if class.within.is_empty() {
            self.nodes[0].classes.push(Mark { who: number, excludes: false });
        }
        self.add_set(class, |node| &mut node.classes, number);
        number
    }

    fn add_set(&mut self, set: &HsSet, marks: fn(&mut Node) -> &mut Vec<Mark>, who: usize) {
        for (ranges, excludes) in [(&set.within, false), (&set.without, true)] {
            for range in ranges {
                self.add_range(*range, marks, Mark { who, excludes });
            }
        }
    }

    /// Covers a range with the fewest aligned prefixes.
    fn add_range(&mut self, range: HsRange, marks: fn(&mut Node) -> &mut Vec<Mark>, mark: Mark) {
        let (mut first, last) = range.bounds();
        while first <= last {
            let mut size = 1;
            while first.is_multiple_of(size * 10) && first + size * 10 - 1 <= last && size < CODES {
                size *= 10;
            }
            let node = self.node(first, size);
            marks(&mut self.nodes[node]).push(mark);
            first += size;
        }
    }

    /// The node of the prefix that stands for `size` codes from `first` on.
    fn node(&mut self, first: u64, size: u64) -> usize {
        let (mut node, mut at, mut rest) = (0, CODES, first);
        while at > size {
            at /= 10;
            let digit = usize::try_from(rest / at).expect("a digit is below ten");
            rest %= at;
            if self.nodes[node].children[digit] == 0 {
                self.nodes[node].children[digit] = self.nodes.len();
                self.nodes.push(Node::default());
            }
            node = self.nodes[node].children[digit];
        }
        node
    }
}

/// Who is included and not excluded, ascending, each once.
fn settled(marks: &mut [Mark]) -> Vec<usize> {
    marks.sort_unstable();
    let by_who = marks.chunk_by(|a, b| a.who == b.who);
    let included = by_who.filter(|marks| !marks[0].excludes && !marks[marks.len() - 1].excludes);
    included.map(|marks| marks[0].who).collect()
}

#[cfg(test)]
impl GoodsIndex {
    /// Nodes, and marks.
    pub(super) fn size(&self) -> (usize, usize) {
        let on_nodes = self.nodes.iter().map(|node| node.rows.len() + node.classes.len());
        (self.nodes.len(), on_nodes.chain(self.classes.iter().map(Vec::len)).sum())
    }
}
