//! The little of XML-RPC that Supervisor's answers about one program need: flat members by name.
//! Anything else in an answer is passed over.

/// Returns a member's value as text: a string, or a number as it is written.
pub fn member(answer: &str, name: &str) -> Option<String> {
    let key = format!("<name>{name}</name>");
    let (_, behind) = answer.split_once(&key)?;
    let (value, _) = behind.split_once("</value>")?;
    let (_, value) = value.split_once("<value>")?;
    let value = value.trim();
    // A value without a type is a string.
    let Some(typed) = value.strip_prefix('<') else { return Some(unescaped(value)) };
    let (kind, rest) = typed.split_once('>')?;
    if let Some(empty) = kind.strip_suffix('/') {
        return (empty.trim() == "string").then(String::new);
    }
    let inner = rest.strip_suffix(&format!("</{kind}>"))?;
    matches!(kind, "string" | "int" | "i4").then(|| unescaped(inner))
}

/// Returns a fault's number where the answer is one.
pub fn fault(answer: &str) -> Option<i64> {
    answer.contains("<fault>").then(|| member(answer, "faultCode"))?.and_then(|n| n.parse().ok())
}

fn unescaped(text: &str) -> String {
    // The ampersand comes last, so that nothing is read twice.
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::{fault, member};

    const ANSWER: &str = "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value>\
        <struct>\n<member>\n<name>pid</name>\n<value><int>12</int></value>\n</member>\n<member>\n\
        <name>statename</name>\n<value><string>BACKOFF</string></value>\n</member>\n<member>\n\
        <name>description</name>\n<value><string>can't find a &amp;lt; &lt;b&gt;</string></value>\n\
        </member>\n<member>\n<name>spawnerr</name>\n<value><string></string></value>\n</member>\n\
        </struct></value>\n</param>\n</params>\n</methodResponse>\n";

    #[test]
    fn members_are_found_by_name_and_a_fault_by_its_number() {
        assert_eq!(member(ANSWER, "statename").as_deref(), Some("BACKOFF"));
        assert_eq!(member(ANSWER, "description").as_deref(), Some("can't find a &lt; <b>"));
        assert_eq!(member(ANSWER, "pid").as_deref(), Some("12"));
        assert_eq!(member(ANSWER, "spawnerr").as_deref(), Some(""));
        assert_eq!((member(ANSWER, "group"), fault(ANSWER)), (None, None));
        let said = "<methodResponse><fault><value><struct><member><name>faultCode</name><value>\
                    <int>10</int></value></member></struct></value></fault></methodResponse>";
        assert_eq!(fault(said), Some(10));
        assert_eq!(member("<name>a</name><value><string/></value>", "a").as_deref(), Some(""));
        assert_eq!(member("<name>a</name><value>plain</value>", "a").as_deref(), Some("plain"));
    }

    #[test]
    fn any_text_gives_an_answer_and_no_panic() {
        arbtest::arbtest(|u| {
            let cut = u.choose_index(ANSWER.len())?;
            let noise: String = u.arbitrary()?;
            let mixed = format!("{}{noise}{}", &ANSWER[..cut], &ANSWER[cut..]);
            for name in ["statename", "description", "pid", noise.as_str()] {
                let _ = (member(&mixed, name), fault(&mixed));
            }
            Ok(())
        });
    }
}
