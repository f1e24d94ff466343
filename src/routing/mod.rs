//! Rule directories: reading, checking, matching, planning, explaining.
