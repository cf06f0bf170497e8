//! Text for people: cleaned of what could deceive a terminal or a browser, and as XHTML.

/// The longest line that is passed on from one resource, in characters.
const LINE_CHARS_MAX: usize = 500;

/// Input as it may be shown: one line, no control characters, nothing invisible that reorders.
///
/// Escape sequences start with a control character; direction marks make a line read otherwise
/// than it is written (Unicode TR 36, 2.5). Both are taken out; white space becomes a space.
pub(super) fn clean(input: &str) -> String {
    let mut out = String::new();
    let mut count = 0;
    for c in input.chars() {
        let c = match c {
            _ if c.is_whitespace() => ' ',
            _ if c.is_control() => '\u{fffd}',
            _ if is_invisible(c) => continue,
            _ => c,
        };
        if c == ' ' && (out.is_empty() || out.ends_with(' ')) {
            continue;
        }
        if count == LINE_CHARS_MAX {
            out.push('…');
            break;
        }
        out.push(c);
        count += 1;
    }
    out.truncate(out.trim_end().len());
    out
}

/// Whether `c` shows nothing, or changes how its neighbours are read.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{00ad}'
            | '\u{034f}'
            | '\u{061c}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{fffe}'
            | '\u{ffff}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// The narrative of a section: a list of lines and the remarks below it.
pub(super) fn div(lines: &[String], remarks: &[String]) -> String {
    let mut div = String::from("<div xmlns=\"http://www.w3.org/1999/xhtml\">");
    if !lines.is_empty() {
        div.push_str("<ul>");
        for line in lines {
            div.push_str("<li>");
            escape(&mut div, line);
            div.push_str("</li>");
        }
        div.push_str("</ul>");
    }
    for remark in remarks {
        div.push_str("<p>");
        escape(&mut div, remark);
        div.push_str("</p>");
    }
    div.push_str("</div>");
    div
}

fn escape(out: &mut String, text: &str) {
    for c in clean(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_gets_through() {
        assert_eq!(
            clean("\u{1b}[31mred\u{7}\u{9b}2J"),
            "\u{fffd}[31mred\u{fffd}\u{fffd}2J"
        );
        assert_eq!(clean(" a \r\n\t b\u{2028}c "), "a b c");
        assert_eq!(clean("pen\u{202e}nillic\u{200b}i\u{2066}n"), "pennillicin");
        assert_eq!(clean("Größe 血型 A−"), "Größe 血型 A−");
        assert_eq!(
            clean(&"x".repeat(10_000)).chars().count(),
            LINE_CHARS_MAX + 1
        );
    }

    #[test]
    fn markup_in_the_input_is_text_in_the_narrative() {
        let div = div(&["<script>alert('x')</script> & \"y\"".to_owned()], &[]);
        assert!(!div.contains("<script"));
        assert!(
            div.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;y&quot;")
        );
    }
}
