//!
pub fn print(_: &super::Plan) -> String {
    String::new()
}
