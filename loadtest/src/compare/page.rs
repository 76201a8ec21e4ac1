//! The report as one HTML file: no script, no other file, light or dark as the reader likes.

use super::comparison::{Comparison, Summary};
use super::plots::Plot;
use super::table::escape;
use super::tables;

const STYLE: &str = "\
:root { color-scheme: light dark; --ink: #1f2328; --paper: #ffffff; --faint: #d1d9e0; --shade: #f6f8fa; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --paper: #0d1117; --faint: #3d444d; --shade: #151b23; }
}
body { color: var(--ink); background: var(--paper); font: 16px/1.5 system-ui, sans-serif;
  max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 0.875rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 0.4rem 0; font-weight: 600; }
th, td { border-bottom: 1px solid var(--faint); padding: 0.3rem 0.8rem; text-align: right; white-space: nowrap; }
th:first-child { text-align: left; }
tbody tr:nth-child(odd) { background: var(--shade); }
figure { margin: 1.5rem 0; }
svg { max-width: 100%; height: auto; }
code { font-size: 0.8rem; white-space: pre-wrap; overflow-wrap: anywhere; }
dt { font-weight: 600; margin-top: 0.6rem; }
dd { margin: 0 0 0 1rem; }
";

/// The whole page.
pub fn html(comparison: &Comparison, plots: &[Plot]) -> String {
    let parts = [
        format!("<h1>Comparison</h1>\n<p>{}</p>\n", escape(&tables::conditions(comparison))),
        servers(comparison),
        list(&tables::notes(comparison)),
        "<h2>Figures</h2>\n<p>Medians over the rounds; the ratio is to the floor in the same round, with the smallest \
         and the largest in brackets. Whiskers in plots are the same. Scales are logarithmic.</p>\n"
            .to_owned(),
        tables::all(comparison).iter().map(super::table::Table::html).collect(),
        plots.iter().map(figure).collect(),
        format!("<h2>Commands</h2>\n{}", commands(comparison)),
    ];
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>Comparison</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{}</body>\n</html>\n",
        parts.concat()
    )
}

fn figure(plot: &Plot) -> String {
    let (title, svg) = (escape(&plot.title), plot.inline.trim_end());
    format!("<figure role=\"img\" aria-label=\"{title}\">\n{svg}\n</figure>\n")
}

fn servers(comparison: &Comparison) -> String {
    let lines: Vec<_> = comparison
        .servers
        .iter()
        .map(|server| format!("{}: {}", server.name, server.about).trim_end_matches(": ").to_owned())
        .collect();
    list(&lines)
}

fn list(lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let items: String = lines.iter().map(|line| format!("<li>{}</li>\n", escape(line))).collect();
    format!("<ul>\n{items}</ul>\n")
}

/// For each value, how it was measured, in the first round.
fn commands(comparison: &Comparison) -> String {
    let mut text = String::new();
    for row in &comparison.cells {
        let entries: String = row.servers.iter().filter_map(command).collect();
        if !entries.is_empty() {
            let title = escape(&row.cell.to_string());
            text.push_str(&format!(
                "<details><summary>{title}</summary>\n<dl>\n{entries}</dl>\n</details>\n"
            ));
        }
    }
    text
}

fn command(summary: &Summary) -> Option<String> {
    let (server, generator) = (summary.server_command.as_ref()?, summary.command.as_ref()?);
    let [name, server, generator] = [&summary.name, server, generator].map(|text| escape(text));
    Some(format!("<dt>{name}</dt>\n<dd><code>{server}</code></dd>\n<dd><code>{generator}</code></dd>\n"))
}

#[cfg(test)]
mod tests {
    use super::super::comparison::tests::example;
    use super::super::plots;
    use super::*;

    /// Elements that are opened and closed one inside the other; the rest is text without loose brackets.
    fn assert_well_formed(html: &str) {
        let mut open: Vec<&str> = Vec::new();
        let mut rest = html.strip_prefix("<!DOCTYPE html>\n").unwrap();
        while let Some((text, after)) = rest.split_once('<') {
            assert!(!text.contains('>'), "a loose bracket in {text}");
            let (tag, after) = after.split_once('>').unwrap();
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name));
            } else if !tag.ends_with('/') {
                open.push(tag.split_ascii_whitespace().next().unwrap());
            }
            rest = after;
        }
        assert_eq!(open, [""; 0]);
    }

    #[test]
    fn the_page_is_well_formed_and_alone() {
        let comparison = example();
        let html = html(&comparison, &plots::draw(&comparison));
        assert_well_formed(&html);
        for outside in ["http:", "https:", "src=", "href=", "@import", "<script", "url("] {
            assert!(!html.contains(outside), "{outside}");
        }
        assert!(html.contains("prefers-color-scheme: dark"));
        assert_eq!(html.matches("<svg ").count(), 7);
    }

    #[test]
    fn it_shows_commands_and_faults_escaped() {
        let html = html(&example(), &[]);
        assert!(html.contains("<code>taskset -c 0 server &lt;&amp;&gt; 8787</code>"), "{html}");
        assert!(html.contains("9 x closed &lt;early&gt;"), "{html}");
    }
}
