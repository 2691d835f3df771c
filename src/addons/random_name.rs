//! Names for addons that nobody has named, such as `fun-monkey-12d3ab`.

use std::io;

use super::hex;
use crate::dialect::Name;

/// A random name: an adjective, an animal, and 24 bits. Whether an addon has it already is the caller's to see.
pub fn random_name() -> io::Result<Name> {
    let mut random = [0; 5];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let [adjective, animal, number @ ..] = random;
    let word = |words: &[&'static str], byte: u8| words[usize::from(byte) % words.len()];
    let number = hex(&number);
    let name = format!("{}-{}-{number}", word(&ADJECTIVES, adjective), word(&ANIMALS, animal));
    // The words are short, and lower-case.
    Name::parse(&name).map_err(io::Error::other)
}

const ADJECTIVES: [&str; 16] = [
    "brave", "calm", "clever", "eager", "fair", "fun", "gentle", "jolly", "kind", "lively", "lucky", "neat",
    "proud", "quick", "quiet", "sunny",
];
const ANIMALS: [&str; 16] = [
    "badger", "beaver", "crane", "dolphin", "falcon", "gecko", "heron", "ibex", "lemur", "lynx", "monkey",
    "otter", "panda", "robin", "seal", "walrus",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_words_makes_a_name_and_two_are_not_the_same() {
        for (adjective, animal) in ADJECTIVES.iter().flat_map(|one| ANIMALS.iter().map(move |two| (one, two)))
        {
            assert!(Name::parse(&format!("{adjective}-{animal}-12d3ab")).is_ok());
        }
        assert_ne!(random_name().unwrap(), random_name().unwrap());
    }
}
