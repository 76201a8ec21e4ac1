//! A table by place: what a `Vec<Option<T>>` is, in pages that exist only while something is in them.
//!
//! A driver numbers places ring by ring, and a ring is not full when the next one begins: a table in one piece would
//! hold memory for places that nobody has, and move everything whenever it grows.
//!
//! ```text
//!   pages   [ . ] [   ] [   ] [ . ] [ . ]      a page is PAGE records, or nothing
//!   places    0    64    128    ^ 192
//! ```

use super::moment::Moment;

/// Records of a page: so many that the list of pages is small, so few that a page with one record is no waste.
const PAGE: usize = 64;

/// Records by number.
#[derive(Debug)]
pub(crate) struct Paged<T> {
    pages: Vec<Page<T>>,
}

/// Invariant: `used` is how many of `slots` are taken; a page where none is holds no memory.
#[derive(Debug)]
struct Page<T> {
    slots: Box<[Slot<T>]>,
    used: usize,
}

#[derive(Debug)]
enum Slot<T> {
    Taken(T),
    /// With what the last record has left behind, see [`Paged::remove`].
    Vacant(Moment),
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Page { slots: Box::default(), used: 0 }
    }
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Paged { pages: Vec::new() }
    }
}

impl<T> Paged<T> {
    /// Memory of each record.
    #[cfg(test)]
    pub(crate) const SLOT_BYTES: usize = size_of::<Slot<T>>();

    /// No number from here on has a record.
    pub(crate) fn len(&self) -> usize {
        self.pages.len() * PAGE
    }

    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        match self.pages.get(at / PAGE)?.slots.get(at % PAGE)? {
            Slot::Taken(record) => Some(record),
            Slot::Vacant(_) => None,
        }
    }

    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        match self.pages.get_mut(at / PAGE)?.slots.get_mut(at % PAGE)? {
            Slot::Taken(record) => Some(record),
            Slot::Vacant(_) => None,
        }
    }

    /// Puts a record where there is none.
    pub(crate) fn insert(&mut self, at: usize, record: T) {
        if self.len() <= at {
            self.pages.resize_with(at / PAGE + 1, Page::default);
        }
        let page = &mut self.pages[at / PAGE];
        if page.slots.is_empty() {
            page.slots = std::iter::repeat_with(|| Slot::Vacant(Moment::NEVER)).take(PAGE).collect();
        }
        let before = std::mem::replace(&mut page.slots[at % PAGE], Slot::Taken(record));
        let was_vacant = matches!(before, Slot::Vacant(_));
        debug_assert!(was_vacant, "a place has one record at a time");
        page.used += usize::from(was_vacant);
        debug_assert!(page.used <= PAGE);
    }

    /// Takes a record out. `left` is kept for the next one, as long as there is another in the page.
    pub(crate) fn remove(&mut self, at: usize, left: impl FnOnce(&T) -> Moment) -> Option<T> {
        let left = left(self.get(at)?);
        let page = &mut self.pages[at / PAGE];
        let Slot::Taken(record) = std::mem::replace(&mut page.slots[at % PAGE], Slot::Vacant(left)) else {
            unreachable!("it was looked at just now")
        };
        page.used -= 1;
        if page.used == 0 {
            *page = Page::default();
        }
        Some(record)
    }

    /// What the last record at a vacant place has left behind, if that is still known.
    pub(crate) fn left(&self, at: usize) -> Moment {
        match self.pages.get(at / PAGE).and_then(|page| page.slots.get(at % PAGE)) {
            Some(Slot::Vacant(left)) => *left,
            Some(Slot::Taken(_)) | None => Moment::NEVER,
        }
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
        let there: Vec<usize> = (0..table.len()).filter_map(|at| table.get(at).copied()).collect();
        assert_eq!(there, places);
        assert_eq!(std::mem::replace(table.get_mut(64).unwrap(), 7), 64);
        assert_eq!(table.get(64), Some(&7));
        let never = |_: &usize| Moment::NEVER;
        for place in [0, 65, 300, 20_001, usize::MAX] {
            assert_eq!(table.get(place), None, "{place}");
            assert_eq!(table.remove(place, never), None, "{place}");
        }
        assert_eq!((table.remove(64, never), table.remove(64, never), table.get(64)), (Some(7), None, None));
    }

    #[test]
    fn memory_is_held_only_for_pages_with_something_in_them() {
        let mut table = Paged::default();
        let pages = |table: &Paged<u32>| table.pages.iter().filter(|page| !page.slots.is_empty()).count();
        table.insert(16_384, 0);
        table.insert(16_385, 1);
        assert_eq!(pages(&table), 1);
        table.remove(16_384, |_| Moment::NEVER);
        assert_eq!(pages(&table), 1);
        table.remove(16_385, |_| Moment::NEVER);
        assert_eq!(pages(&table), 0);
        table.insert(16_385, 2);
        assert_eq!(table.get(16_385), Some(&2));
    }

    #[test]
    fn what_is_left_behind_stays_as_long_as_the_page() {
        let mut table = Paged::default();
        let soon = Moment::not_before(640);
        assert_eq!(table.left(3), Moment::NEVER);
        table.insert(3, ());
        table.insert(4, ());
        table.remove(3, |()| soon);
        assert_eq!(
            [3, 4, 5, 64].map(|at| table.left(at)),
            [soon, Moment::NEVER, Moment::NEVER, Moment::NEVER]
        );
        table.insert(3, ());
        assert_eq!(table.left(3), Moment::NEVER);
        table.remove(3, |()| soon);
        table.remove(4, |()| soon);
        assert_eq!([3, 4].map(|at| table.left(at)), [Moment::NEVER; 2]);
    }
}
