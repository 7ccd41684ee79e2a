//! System calls without anything around them: no `errno`, which a child that shares our memory would share too.

use std::arch::asm;

/// Makes the call; a negative number is an error.
///
/// # Safety
///
/// What the call does with these numbers must be sound: pointers among them have to be valid for it.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) unsafe fn call(number: libc::c_long, arguments: [usize; 5]) -> isize {
    let [a, b, c, d, e] = arguments;
    let result: isize;
    // SAFETY: the kernel's convention on this architecture: `syscall` changes rax, rcx and r11. What it does with the
    // arguments is the caller's to answer for.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// Makes the call; a negative number is an error.
///
/// # Safety
///
/// What the call does with these numbers must be sound: pointers among them have to be valid for it.
#[cfg(target_arch = "aarch64")]
#[inline]
pub(super) unsafe fn call(number: libc::c_long, arguments: [usize; 5]) -> isize {
    let [a, b, c, d, e] = arguments;
    let result: isize;
    // SAFETY: the kernel's convention on this architecture: `svc 0` changes x0 alone. What it does with the arguments
    // is the caller's to answer for.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a as isize => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e,
            options(nostack),
        );
    }
    result
}
