//! Who runs the command: the operating system's word, which an environment variable cannot change.

use std::fs;
use std::os::unix::fs::MetadataExt;

/// The user's name, or `uid 1000` where the system has no name for it. Through sudo, the name is root's.
pub(super) fn name() -> String {
    let Ok(uid) = fs::metadata("/proc/self").map(|process| process.uid()) else { return "unknown".into() };
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_of(uid, &users).unwrap_or_else(|| format!("uid {uid}"))
}

/// Looks a user up in the lines of passwd(5): `name:password:uid:…`.
fn name_of(uid: u32, users: &str) -> Option<String> {
    let line = users.lines().find(|line| line.split(':').nth(2).is_some_and(|field| field.parse() == Ok(uid)))?;
    line.split(':').next().map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_number_and_not_by_name() {
        let users = "root:x:0:0:root:/root:/bin/sh\nclerk:x:1000:100::/home/clerk:/bin/sh\nbroken\n";
        assert_eq!(name_of(1000, users).as_deref(), Some("clerk"));
        assert_eq!(name_of(100, users), None);
    }
}
