//! The user a server or a program runs as, and becoming them.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::ptr::null_mut;

use rustix::process::{Gid, Uid};
use rustix::thread::{set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// Room for what is known of a user. Longest by far are home and shell.
const PASSWD_BYTES: usize = 16 * 1024;

/// Room for what is known of a group: mostly the names of those who are in it.
const GROUP_BYTES: usize = 256 * 1024;

/// Groups of one user. The kernel takes 65,536; nobody has a hundred.
const GROUPS_MAX: usize = 1024;

/// A user, and the groups they are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

impl User {
    /// Looks somebody up by name; in this group, or their own.
    pub(crate) fn named(name: &str, group: Option<&str>) -> Result<Self, String> {
        let cannot = |why: &str| format!("cannot run as the user `{name}`: {why}");
        let c_name = CString::new(name).map_err(|_| cannot("a name has no zero byte"))?;
        let found = look_up(&c_name).map_err(|error| cannot(&error.to_string()))?;
        let (uid, mut gid) = found.ok_or_else(|| cannot("there is nobody of that name"))?;
        if let Some(group) = group {
            let c_group = CString::new(group).map_err(|_| cannot("a group's name has no zero byte"))?;
            let found = look_up_group(&c_group).map_err(|error| cannot(&error.to_string()))?;
            gid = found.ok_or_else(|| cannot(&format!("there is no group `{group}`")))?;
        }
        let groups = groups_of(&c_name, gid).ok_or_else(|| cannot("they are in too many groups"))?;
        Ok(Self { uid, gid, groups })
    }

    /// Whether this process is theirs already.
    pub(crate) fn is_current(&self) -> bool {
        rustix::process::geteuid().as_raw() == self.uid
    }

    /// Whether it has their group as its own.
    pub(crate) fn has_current_group(&self) -> bool {
        rustix::process::getegid().as_raw() == self.gid
    }

    /// What makes a process theirs for good, to be run in it before it becomes another program. It takes
    /// no memory and no lock, as between fork and exec nothing may.
    pub(crate) fn becoming(&self) -> impl FnMut() -> io::Result<()> + Send + Sync + 'static {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        let groups: Vec<Gid> = self.groups.iter().copied().map(Gid::from_raw).collect();
        move || {
            // Groups first: afterwards we may no longer.
            set_thread_groups(&groups)?;
            set_thread_res_gid(gid, gid, gid)?;
            set_thread_res_uid(uid, uid, uid)?; // Which drops all capabilities: capabilities(7).
            set_no_new_privs(true)?;
            Ok(())
        }
    }
}

fn look_up(name: &CStr) -> io::Result<Option<(u32, u32)>> {
    let mut entry = MaybeUninit::<libc::passwd>::uninit();
    let mut strings = vec![0; PASSWD_BYTES];
    let mut found = null_mut();
    // SAFETY: all pointers are valid for the call, and the length is the buffer's own.
    let error = unsafe {
        libc::getpwnam_r(name.as_ptr(), entry.as_mut_ptr(), strings.as_mut_ptr(), strings.len(), &raw mut found)
    };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    if found.is_null() {
        return Ok(None);
    }
    // SAFETY: `found` is not null, so the entry is filled.
    let entry = unsafe { entry.assume_init_ref() };
    Ok(Some((entry.pw_uid, entry.pw_gid)))
}

fn look_up_group(name: &CStr) -> io::Result<Option<u32>> {
    let mut entry = MaybeUninit::<libc::group>::uninit();
    let mut strings = vec![0; GROUP_BYTES];
    let mut found = null_mut();
    // SAFETY: all pointers are valid for the call, and the length is the buffer's own.
    let error = unsafe {
        libc::getgrnam_r(name.as_ptr(), entry.as_mut_ptr(), strings.as_mut_ptr(), strings.len(), &raw mut found)
    };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    // SAFETY: where `found` is not null, the entry is filled.
    Ok((!found.is_null()).then(|| unsafe { entry.assume_init_ref() }.gr_gid))
}

fn groups_of(name: &CStr, gid: u32) -> Option<Vec<u32>> {
    let mut groups = vec![0; GROUPS_MAX];
    let mut count = GROUPS_MAX as libc::c_int;
    // SAFETY: the pointers are valid for the call, and `count` says how many fit.
    let found = unsafe { libc::getgrouplist(name.as_ptr(), gid, groups.as_mut_ptr(), &raw mut count) };
    if found < 0 {
        return None;
    }
    groups.truncate(usize::try_from(count).ok()?);
    Some(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_who_is_there() {
        let root = User::named("root", None).unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert!(root.groups.contains(&0));
        let other = User::named("root", Some("daemon")).unwrap();
        assert_eq!((other.uid, other.gid), (0, 1));
    }

    #[test]
    fn says_who_is_not() {
        let refused = User::named("nobody-of-that-name", None).unwrap_err();
        assert!(refused.contains("there is nobody of that name"), "{refused}");
        let refused = User::named("root", Some("no-group-of-that-name")).unwrap_err();
        assert!(refused.contains("there is no group `no-group-of-that-name`"), "{refused}");
        User::named("a\0b", None).unwrap_err();
    }
}
