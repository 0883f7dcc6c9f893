//! A tree of texts, in which every prefix of every text has one place.

/// A place in the tree, and so a text: the first `length` bytes of what leads to `node`. The node
/// is the first at or below the place, so that equal texts have equal places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    node: u32,
    length: u32,
}

/// A radix tree: nodes are where a text ends or where texts part.
#[derive(Clone, Debug)]
pub struct PrefixTree {
    nodes: Vec<Node>,
}

impl Default for PrefixTree {
    fn default() -> PrefixTree {
        PrefixTree::new(std::iter::empty())
    }
}

#[derive(Clone, Debug)]
struct Node {
    /// How many bytes lead to it.
    length: u32,
    /// The last of these, those after the parent's.
    label: Box<[u8]>,
    /// By the first byte of their labels.
    children: Vec<(u8, u32)>,
}

impl PrefixTree {
    /// The place of the empty text.
    pub const ROOT: Place = Place { node: 0, length: 0 };

    /// The tree of these texts.
    pub fn new<'a>(texts: impl Iterator<Item = &'a str>) -> PrefixTree {
        let mut texts: Vec<&[u8]> = texts.map(str::as_bytes).collect();
        texts.sort_unstable();
        texts.dedup();
        let root = Node { length: 0, label: Box::default(), children: Vec::new() };
        let mut tree = PrefixTree { nodes: vec![root] };
        // The way to the text before; what follows leaves it somewhere and never comes back.
        let mut way = vec![0];
        let mut before: &[u8] = &[];
        for text in texts {
            let shared = before.iter().zip(text).take_while(|(a, b)| a == b).count();
            tree.branch(&mut way, shared as u32, before);
            if text.len() > shared {
                way.push(tree.add(*way.last().unwrap_or(&0), text));
            }
            before = text;
        }
        tree
    }

    /// Goes back on the way to where `length` bytes lead, with a new node if there is none.
    fn branch(&mut self, way: &mut Vec<u32>, length: u32, text: &[u8]) {
        let mut below = None;
        while let Some(node) = way.last().copied()
            && self.nodes[node as usize].length > length
        {
            below = Some(node);
            way.pop();
        }
        let above = way.last().copied().unwrap_or(0);
        let Some(below) = below else { return };
        if self.nodes[above as usize].length == length {
            return;
        }
        // The edge between the two is cut at `length`.
        self.nodes[above as usize].children.pop();
        let middle = self.add(above, &text[..length as usize]);
        let cut = length - self.nodes[above as usize].length;
        let label = self.nodes[below as usize].label[cut as usize..].into();
        self.nodes[below as usize].label = label;
        let first = text[length as usize];
        self.nodes[middle as usize].children.push((first, below));
        way.push(middle);
    }

    /// A new node for `text`, the last child of its parent.
    fn add(&mut self, parent: u32, text: &[u8]) -> u32 {
        let label = &text[self.nodes[parent as usize].length as usize..];
        let node = self.nodes.len() as u32;
        self.nodes[parent as usize].children.push((label[0], node));
        let length = text.len() as u32;
        self.nodes.push(Node { length, label: label.into(), children: Vec::new() });
        node
    }

    /// The place of the text at `place` followed by `text`; `None` if it is not in the tree.
    pub fn extend(&self, place: Place, text: &str) -> Option<Place> {
        let mut text = text.as_bytes();
        let mut node = &self.nodes[place.node as usize];
        let mut number = place.node;
        let mut length = place.length;
        while let Some(first) = text.first() {
            if length == node.length {
                let child = node.children.binary_search_by_key(first, |(byte, _)| *byte).ok()?;
                number = node.children[child].1;
                node = &self.nodes[number as usize];
            }
            let rest = &node.label[node.label.len() - (node.length - length) as usize..];
            let step = rest.len().min(text.len());
            if rest[..step] != text[..step] {
                return None;
            }
            length += step as u32;
            text = &text[step..];
        }
        Some(Place { node: number, length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_prefixes_of_the_texts_have_a_place_and_each_its_own() {
        for texts in [
            &["abc", "abd", "a", "xyz", "abcde"][..],
            &["", "a", "aa", "aaa"],
            &["b", "ab", "ba", "bab"],
            &["same", "same"],
            &["é", "è"],
            &[],
        ] {
            let tree = PrefixTree::new(texts.iter().copied());
            let mut places = std::collections::HashMap::new();
            for text in texts {
                for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
                    let prefix = &text[..end];
                    let place = tree.extend(PrefixTree::ROOT, prefix).expect(prefix);
                    assert_eq!(*places.entry(place).or_insert(prefix), prefix);
                    for middle in (0..=end).filter(|middle| text.is_char_boundary(*middle)) {
                        let first = tree.extend(PrefixTree::ROOT, &text[..middle]).expect(prefix);
                        assert_eq!(tree.extend(first, &text[middle..end]), Some(place));
                    }
                }
                let beyond = format!("{text}?");
                assert_eq!(tree.extend(PrefixTree::ROOT, &beyond), None);
            }
            assert_eq!(tree.extend(PrefixTree::ROOT, "?"), None);
        }
    }
}
