//! Apps: which addons an application uses, and the environment variables in which it is told their URLs. Sans-IO.
//!
//! Within an app every variable belongs to one attachment: `DATABASE_URL`, or `BLUE_DATABASE_URL` for one that is attached as
//! `BLUE`. The rows are in the store; the rules are here.

use std::fmt;
use std::str::FromStr;

use crate::dialect::Name;

/// An addon that an app uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The app. It need not exist anywhere else.
    pub app: Name,
    /// What stands before the kind's own variable; none for that variable itself.
    pub prefix: Option<Prefix>,
    /// The variable in which the app is told the addon's URL.
    pub variable: String,
    /// The addon.
    pub addon: Name,
}

impl Attachment {
    /// An addon whose kind has this variable, in an app, under a name if there is one.
    pub fn new(app: Name, addon: Name, prefix: Option<Prefix>, kind_variable: &str) -> Self {
        let variable = match &prefix {
            Some(prefix) => format!("{prefix}_{kind_variable}"),
            None => kind_variable.to_owned(),
        };
        Attachment { app, prefix, variable, addon }
    }
}

/// The name under which an addon is attached, such as `BLUE`: `[A-Z][A-Z0-9_]{0,30}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix(String);

impl Prefix {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = text.bytes();
        let first = bytes.next().is_some_and(|byte| byte.is_ascii_uppercase());
        let rest = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        if first && bytes.all(rest) && text.len() <= PREFIX_LEN_MAX && !text.ends_with('_') {
            return Ok(Prefix(text.to_owned()));
        }
        Err(format!(
            "{text:?} cannot be the name of an attachment: expected A-Z first, then A-Z, 0-9 and '_', at most \
             {PREFIX_LEN_MAX} characters, such as BLUE"
        ))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whom a new attachment would collide with: the one in the same app that has its variable already.
pub fn holder<'a>(attachments: &'a [Attachment], app: &Name, variable: &str) -> Option<&'a Attachment> {
    attachments.iter().find(|other| other.app == *app && other.variable == variable)
}

/// What the attachments of one app become when `addon` is to be the one that is told in `kind_variable`. The one that was
/// told there keeps another variable: its own, or one with the first colour that is free. `None`: `addon` is not attached.
pub fn promote(attachments: &[Attachment], addon: &Name, kind_variable: &str) -> Option<Vec<Attachment>> {
    let app = attachments.iter().find(|attachment| attachment.addon == *addon)?.app.clone();
    let Some(before) = holder(attachments, &app, kind_variable).cloned() else {
        let new = Attachment::new(app, addon.clone(), None, kind_variable);
        return Some([attachments, &[new]].concat());
    };
    if before.addon == *addon {
        return Some(attachments.to_vec());
    }
    let mut after: Vec<_> = attachments.iter().filter(|attachment| **attachment != before).cloned().collect();
    if !after.iter().any(|attachment| attachment.addon == before.addon) {
        let prefix = free_colour(&after, kind_variable);
        after.push(Attachment::new(app.clone(), before.addon, Some(prefix), kind_variable));
    }
    after.push(Attachment::new(app, addon.clone(), None, kind_variable));
    Some(after)
}

/// How a new addon is attached to an app that has `attachments`: in the kind's own variable, or if another has that, under
/// the first colour that is free.
pub fn attach_new(attachments: &[Attachment], app: &Name, addon: &Name, kind_variable: &str) -> Attachment {
    let taken = holder(attachments, app, kind_variable).is_some();
    let of_app: Vec<_> = attachments.iter().filter(|other| other.app == *app).cloned().collect();
    let prefix = taken.then(|| free_colour(&of_app, kind_variable));
    Attachment::new(app.clone(), addon.clone(), prefix, kind_variable)
}

/// The first colour that no attachment has with this variable; numbered where all have one.
fn free_colour(attachments: &[Attachment], kind_variable: &str) -> Prefix {
    let rounds = (1..).flat_map(|round: u32| {
        COLOURS.iter().map(move |colour| match round {
            1 => (*colour).to_owned(),
            _ => format!("{colour}_{round}"),
        })
    });
    let is_free = |prefix: &String| {
        let variable = format!("{prefix}_{kind_variable}");
        attachments.iter().all(|attachment| attachment.variable != variable)
    };
    // There are more numbers than attachments.
    Prefix(rounds.into_iter().find(is_free).unwrap_or_default())
}

const PREFIX_LEN_MAX: usize = 31;
const COLOURS: [&str; 8] = ["BLUE", "GREEN", "AMBER", "CORAL", "IVORY", "OLIVE", "PURPLE", "SILVER"];

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn attached(addon: &str, prefix: Option<&str>) -> Attachment {
        let prefix = prefix.map(|prefix| prefix.parse().unwrap());
        Attachment::new(name("shop"), name(addon), prefix, "DATABASE_URL")
    }

    fn variables(attachments: &[Attachment]) -> Vec<(String, String)> {
        let pair = |one: &Attachment| (one.variable.clone(), one.addon.to_string());
        let mut pairs: Vec<_> = attachments.iter().map(pair).collect();
        pairs.sort();
        pairs
    }

    #[test]
    fn names_of_attachments_make_variables() {
        assert_eq!(attached("blog", None).variable, "DATABASE_URL");
        assert_eq!(attached("blog", Some("BLUE_2")).variable, "BLUE_2_DATABASE_URL");
        for bad in ["", "blue", "_X", "X_", "2X", "X-Y", "X Y", "Ä", &"X".repeat(32)] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        }
    }

    #[test]
    fn who_is_promoted_takes_the_variable_and_nobody_loses_the_last_one() {
        let before = [attached("blog", None), attached("copy", Some("BLUE"))];
        let after = promote(&before, &name("copy"), "DATABASE_URL").unwrap();
        let expected =
            [("BLUE_DATABASE_URL", "copy"), ("DATABASE_URL", "copy"), ("GREEN_DATABASE_URL", "blog")];
        assert_eq!(variables(&after), expected.map(|(one, other)| (one.into(), other.into())));
        // Twice is once.
        assert_eq!(promote(&after, &name("copy"), "DATABASE_URL").unwrap(), after);
        // And back: `copy` is still BLUE, so it needs no new name.
        let back = promote(&after, &name("blog"), "DATABASE_URL").unwrap();
        let expected =
            [("BLUE_DATABASE_URL", "copy"), ("DATABASE_URL", "blog"), ("GREEN_DATABASE_URL", "blog")];
        assert_eq!(variables(&back), expected.map(|(one, other)| (one.into(), other.into())));
        assert_eq!(promote(&before, &name("other"), "DATABASE_URL"), None);
    }

    #[test]
    fn a_new_addon_finds_a_variable_of_its_own() {
        let there = [attached("blog", None), attached("copy", Some("BLUE"))];
        let new = |app| attach_new(&there, &name(app), &name("new"), "DATABASE_URL").variable;
        assert_eq!((new("shop").as_str(), new("crm").as_str()), ("GREEN_DATABASE_URL", "DATABASE_URL"));
    }

    #[test]
    fn colours_do_not_run_out() {
        let mut all: Vec<Attachment> = COLOURS.iter().map(|colour| attached("x", Some(colour))).collect();
        all.extend([attached("y", Some("BLUE_2")), attached("blog", None)]);
        let after = promote(&all, &name("x"), "DATABASE_URL").unwrap();
        assert!(variables(&after).contains(&("GREEN_2_DATABASE_URL".into(), "blog".into())));
    }
}
