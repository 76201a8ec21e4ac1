//! A table by place: what a `Vec<Option<T>>` is, in pages that exist only while something is in them.
//!
//! A driver numbers places ring by ring, and a ring is not full when the next one begins: a table in one piece would
//! hold memory for places that nobody has, and move everything whenever it grows.
//!
//! ```text
//!   pages   [ . ] [   ] [   ] [ . ] [ . ]      a page is PAGE records, or nothing
//!   places    0    64    128    ^ 192
//! ```

use std::ops::Index;

/// Records of a page: so many that the list of pages is small, so few that a page with one record is no waste.
const PAGE: usize = 64;

/// Records by number.
#[derive(Debug)]
pub(crate) struct Paged<T> {
    pages: Vec<Page<T>>,
}

/// Invariant: `used` is how many of `records` are there; a page without any holds no memory.
#[derive(Debug)]
struct Page<T> {
    records: Box<[Option<T>]>,
    used: usize,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Page { records: Box::default(), used: 0 }
    }
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Paged { pages: Vec::new() }
    }
}

impl<T> Paged<T> {
    /// No number from here on has a record.
    pub(crate) fn len(&self) -> usize {
        self.pages.len() * PAGE
    }

    pub(crate) fn get(&self, at: usize) -> Option<&Option<T>> {
        self.pages.get(at / PAGE)?.records.get(at % PAGE)
    }

    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut Option<T>> {
        self.pages.get_mut(at / PAGE)?.records.get_mut(at % PAGE)
    }

    /// Puts a record where there is none.
    pub(crate) fn insert(&mut self, at: usize, record: T) {
        if self.len() <= at {
            self.pages.resize_with(at / PAGE + 1, Page::default);
        }
        let page = &mut self.pages[at / PAGE];
        if page.records.is_empty() {
            page.records = std::iter::repeat_with(|| None).take(PAGE).collect();
        }
        let before = page.records[at % PAGE].replace(record);
        debug_assert!(before.is_none(), "a place has one record at a time");
        page.used += usize::from(before.is_none());
        debug_assert!(page.used <= PAGE);
    }

    pub(crate) fn remove(&mut self, at: usize) -> Option<T> {
        let record = self.get_mut(at)?.take()?;
        let page = &mut self.pages[at / PAGE];
        page.used -= 1;
        if page.used == 0 {
            *page = Page::default();
        }
        Some(record)
    }
}

impl<T> Index<usize> for Paged<T> {
    type Output = Option<T>;

    fn index(&self, at: usize) -> &Option<T> {
        self.get(at).unwrap_or(&None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_where_it_was_put_and_nowhere_else() {
        let mut table = Paged::default();
        let places = [3, 64, 16_384, 20_000];
        for place in places {
            table.insert(place, place);
        }
        let there: Vec<usize> = (0..table.len()).filter_map(|at| table[at]).collect();
        assert_eq!(there, places);
        assert_eq!(table.get_mut(64).unwrap().replace(7), Some(64));
        assert_eq!(table.get(64), Some(&Some(7)));
        for place in [0, 65, 300, 20_001, usize::MAX] {
            assert_eq!((table[place], table.remove(place)), (None, None), "{place}");
        }
        assert_eq!((table.remove(64), table.remove(64), table[64]), (Some(7), None, None));
    }

    #[test]
    fn memory_is_held_only_for_pages_with_something_in_them() {
        let mut table = Paged::default();
        let pages = |table: &Paged<u32>| table.pages.iter().filter(|page| !page.records.is_empty()).count();
        table.insert(16_384, 0);
        table.insert(16_385, 1);
        assert_eq!(pages(&table), 1);
        table.remove(16_384);
        assert_eq!(pages(&table), 1);
        table.remove(16_385);
        assert_eq!(pages(&table), 0);
        table.insert(16_385, 2);
        assert_eq!(table[16_385], Some(2));
    }
}
