//! [`ShortList`]: a list that nearly always has one entry, and then costs no allocation. Pure.

use std::ops::Deref;

/// A short list that does not change.
#[derive(Clone, Debug)]
pub(crate) enum ShortList<T> {
    One([T; 1]),
    Many(Box<[T]>),
}

impl<T> Deref for ShortList<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::One(one) => one,
            Self::Many(many) => many,
        }
    }
}

impl<T> From<Vec<T>> for ShortList<T> {
    fn from(list: Vec<T>) -> Self {
        match <[T; 1]>::try_from(list) {
            Ok(one) => Self::One(one),
            Err(list) => Self::Many(list.into()),
        }
    }
}

impl<T> FromIterator<T> for ShortList<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Vec::from_iter(items).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_any_length_is_what_it_was_made_of() {
        for length in 0..4 {
            let list: ShortList<u32> = (0..length).collect();
            assert_eq!(*list, *Vec::from_iter(0..length));
            assert_eq!(matches!(list, ShortList::One(_)), length == 1);
        }
    }
}
