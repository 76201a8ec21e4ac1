//! A table of text, as Markdown and as HTML.

/// Rows of as many cells as the header.
#[derive(Clone, Debug)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// Over the columns; the first is of names.
    pub header: Vec<String>,
    /// Its lines.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// As Markdown, padded so that it is legible as it stands. The first column is on the left.
    pub fn markdown(&self) -> String {
        let lines: Vec<Vec<String>> =
            [&self.header].into_iter().chain(&self.rows).map(|row| escaped(row)).collect();
        let width =
            |column: usize| lines.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3);
        let widths: Vec<_> = (0..self.header.len()).map(width).collect();
        let mut text = String::new();
        for (number, row) in lines.iter().enumerate() {
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let width = *width;
                let padded =
                    if column == 0 { format!("| {cell:<width$} ") } else { format!("| {cell:>width$} ") };
                text.push_str(&padded);
            }
            text.push_str("|\n");
            if number == 0 {
                for (column, width) in widths.iter().enumerate() {
                    let right = if column == 0 { "-" } else { ":" };
                    text.push_str(&format!("|{}{right}", "-".repeat(width + 1)));
                }
                text.push_str("|\n");
            }
        }
        text
    }

    /// As HTML.
    pub fn html(&self) -> String {
        let row = |cells: &[String], first: &str, other: &str| {
            let cell = |(at, text): (usize, &String)| {
                let element = if at == 0 { first } else { other };
                format!("<{element}>{}</{element}>", escape(text))
            };
            format!("<tr>{}</tr>\n", cells.iter().enumerate().map(cell).collect::<String>())
        };
        let head = row(&self.header, "th", "th");
        let body: String = self.rows.iter().map(|cells| row(cells, "th", "td")).collect();
        let title = escape(&self.title);
        format!(
            "<div class=\"wide\"><table>\n<caption>{title}</caption>\n<thead>\n{head}</thead>\n\
             <tbody>\n{body}</tbody>\n</table></div>\n"
        )
    }
}

fn escaped(row: &[String]) -> Vec<String> {
    row.iter().map(|cell| cell.replace('|', "\\|")).collect()
}

/// Text for HTML, attributes included.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        Table {
            title: "a < b".to_owned(),
            header: row(["server", "1"]),
            rows: vec![row(["x|y", "1 \u{d7} 2"])],
        }
    }

    #[test]
    fn markdown_is_aligned_and_escaped() {
        assert_eq!(table().markdown(), "| server |     1 |\n|--------|------:|\n| x\\|y   | 1 \u{d7} 2 |\n");
    }

    #[test]
    fn html_is_escaped() {
        let html = table().html();
        assert!(html.contains("<caption>a &lt; b</caption>"), "{html}");
        assert!(html.contains("<tr><th>x|y</th><td>1 \u{d7} 2</td></tr>"), "{html}");
    }
}
