//! The story in one screen.

fn main() {}
