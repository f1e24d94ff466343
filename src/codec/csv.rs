//! The CSV files of `schemas/` and of a directory that extends them: which columns, then rows, each cell with its place.
//!
//! Lines that begin with `#` are remarks. A field may be quoted as a whole; a quote in it is written twice; no field
//! has a line end. Every fault is told, and a row with one is left out.

use super::catalogue::CatalogueFault;

/// A field and where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) line: usize,
    pub(super) column: usize,
}

/// The rows of a file that has these columns, in this order.
pub(super) fn rows<const N: usize>(
    file: &str,
    octets: &[u8],
    columns: [&str; N],
    faults: &mut Vec<CatalogueFault>,
) -> Vec<[Cell; N]> {
    let Ok(text) = std::str::from_utf8(octets) else {
        faults.push(CatalogueFault::new(file, (1, 1), "it is not UTF-8", "write it in UTF-8"));
        return Vec::new();
    };
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let mut lines = lines.filter_map(|(number, line)| match cells(number, line) {
        Ok(cells) => Some((number, cells)),
        Err(column) => {
            let message = "a quote is not closed, or text follows it";
            faults.push(CatalogueFault::new(file, (number, column), message, "quote a field as a whole"));
            None
        }
    });
    let mut wrong = Vec::new();
    let named = |cells: &[Cell]| cells.iter().map(|cell| cell.text.as_str()).eq(columns);
    match lines.next() {
        Some((_, cells)) if named(&cells) => {}
        found => {
            let message = format!("the columns are not {}", columns.join(","));
            let place = (found.map_or(1, |(number, _)| number), 1);
            wrong.push(CatalogueFault::new(file, place, message, "begin with a line that names them"));
        }
    }
    let mut read = Vec::new();
    let headed = wrong.is_empty();
    for (number, cells) in lines.filter(|_| headed) {
        let count = cells.len();
        match <[Cell; N]>::try_from(cells) {
            Ok(row) => read.push(row),
            Err(_) => {
                let message = format!("the row has {count} fields");
                let fault =
                    CatalogueFault::new(file, (number, 1), message, format!("write {N}, some may be empty"));
                wrong.push(fault);
            }
        }
        if wrong.len() >= CatalogueFault::MAX {
            break;
        }
    }
    faults.extend(wrong);
    read
}

/// The fields of a line; the column of a quote that is in the way.
fn cells(line: usize, text: &str) -> Result<Vec<Cell>, usize> {
    let (mut cells, mut rest) = (Vec::new(), text);
    loop {
        let column = text.chars().count() - rest.chars().count() + 1;
        let mut field = String::new();
        rest = if let Some(quoted) = rest.strip_prefix('"') {
            let mut open = quoted;
            loop {
                let (before, after) = open.split_once('"').ok_or(column)?;
                field.push_str(before);
                match after.strip_prefix('"') {
                    Some(after) => {
                        field.push('"');
                        open = after;
                    }
                    None => break after,
                }
            }
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            let (before, after) = rest.split_at(end);
            field.push_str(before);
            after
        };
        cells.push(Cell { text: field, line, column });
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None if rest.is_empty() => return Ok(cells),
            None => return Err(column),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_with_their_places() {
        fn check(text: &str, expected: Result<&[(&str, usize)], usize>) {
            let read = cells(7, text);
            let read = read
                .as_ref()
                .map(|cells| cells.iter().map(|cell| (cell.text.as_str(), cell.column)).collect::<Vec<_>>());
            assert_eq!(read.as_deref().map_err(|column| **column), expected, "{text}");
        }
        check("a,b", Ok(&[("a", 1), ("b", 3)]));
        check("", Ok(&[("", 1)]));
        check("a,,", Ok(&[("a", 1), ("", 3), ("", 4)]));
        check("é,\"b, \"\"c\"\"\",d", Ok(&[("é", 1), ("b, \"c\"", 3), ("d", 14)]));
        check("a,\"b", Err(3));
        check("a,\"b\"c", Err(3));
    }

    #[test]
    fn a_file_with_other_columns_or_rows_is_told() {
        fn check(text: &str, rows_read: usize, expected: &[&str]) {
            let mut faults = Vec::new();
            assert_eq!(rows("f.csv", text.as_bytes(), ["a", "b"], &mut faults).len(), rows_read, "{text}");
            let told: Vec<_> = faults.iter().map(ToString::to_string).collect();
            assert_eq!(told.len(), expected.len(), "{told:?}");
            assert!(told.iter().zip(expected).all(|(told, start)| told.starts_with(start)), "{told:?}");
        }
        check("# remark\na,b\n1,2\n\n3,4\n", 2, &[]);
        check("a,c\n1,2\n", 0, &["f.csv:1:1: the columns are not a,b"]);
        check("", 0, &["f.csv:1:1: the columns are not a,b"]);
        check("a,b\n1\n2,3\n1,2,3\n", 1, &["f.csv:2:1: the row has 1", "f.csv:4:1: the row has 3"]);
        check("a,b\n1,\"2\n2,3\n", 1, &["f.csv:2:3: a quote"]);
    }
}
