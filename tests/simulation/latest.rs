//! What a client has heard of what was said to it, where a newer message may take the place of an older one with the
//! same key. Owns the rules about that (SEMANTICS 9): the newest of each key arrives, a key's messages keep their order,
//! and what has no key neither is missing nor is overtaken.

use super::verbs::key_of;
use super::witness::Said;

/// Which of what was said has been heard.
#[derive(Debug, Default)]
pub struct Latest {
    heard: Vec<bool>,
}

fn key(said: &Said) -> Option<u64> {
    match said {
        Said::Text(text) => key_of(text),
        Said::Batch(_) | Said::Close(_) => None,
    }
}

impl Latest {
    fn is_heard(&self, at: usize) -> bool {
        self.heard.get(at) == Some(&true)
    }

    /// How much was heard.
    pub fn count(&self) -> usize {
        self.heard.iter().filter(|heard| **heard).count()
    }

    /// The first of what was said that is missing though nothing newer with its key was heard.
    pub fn missing<'a>(&self, said: &'a [Said]) -> Option<&'a Said> {
        let is_excused = |at: usize| {
            let key = key(&said[at]);
            key.is_some()
                && (at + 1..said.len()).any(|later| self.is_heard(later) && self::key(&said[later]) == key)
        };
        (0..said.len()).find(|at| !self.is_heard(*at) && !is_excused(*at)).map(|at| &said[at])
    }

    /// Hears `next`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn hear(&mut self, said: &[Said], next: &Said) -> Result<(), String> {
        let Some(at) = (0..said.len()).find(|at| !self.is_heard(*at) && said[*at] == *next) else {
            return Err(if said.contains(next) { "doubled".into() } else { "invented".into() });
        };
        match key(next) {
            Some(_) => {
                let overtakes = said[..at]
                    .iter()
                    .enumerate()
                    .find(|(at, said)| key(said).is_none() && !self.is_heard(*at));
                if let Some((_, overtaken)) = overtakes {
                    return Err(format!("lost or out of order: {overtaken:?} is to come first"));
                }
                if (at + 1..said.len()).any(|later| self.is_heard(later) && key(&said[later]) == key(next)) {
                    return Err("out of order: a newer one with its key has come".into());
                }
            }
            None => {
                if let Some(missing) = self.missing(&said[..at]) {
                    return Err(format!("lost or out of order: {missing:?} is to come first"));
                }
            }
        }
        self.heard.resize(self.heard.len().max(at + 1), false);
        self.heard[at] = true;
        Ok(())
    }
}
