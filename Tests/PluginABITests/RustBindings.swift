/// `ablate_plugin.h` as Rust declarations that need no crate: Sources/PluginABI/bindings/ablate_plugin.rs.
struct RustBindings {
  let text: String

  init(_ header: Header) {
    var lines = [
      "//! The plugin ABI of Ablate for Rust, without crates. Written from ablate_plugin.h, which documents every field;",
      "//! a test of Ablate's holds both together.",
      "#![allow(non_camel_case_types, dead_code)]",
      "use core::ffi::c_void;", "",
      "pub type ablate_status = i32;",
      // The two functions of the host that functions of a plugin take.
      "pub type ablate_write = Option<unsafe extern \"C\" fn(*mut c_void, *const c_void, u64) -> ablate_status>;",
      "pub type ablate_read = Option<unsafe extern \"C\" fn(*mut c_void, *mut c_void, u64) -> u64>;",
    ]
    lines += header.constants.map { name, value in
      let type = value.hasSuffix("u") ? "u32" : "i32"
      return "pub const \(name): \(type) = \(value.filter { $0 == "-" || $0.isNumber });"
    }
    for type in header.structs {
      lines += ["", "#[repr(C)]", "#[derive(Clone, Copy)]", "pub struct \(type.name) {"]
      lines += type.fields.map { "    pub \($0.name == "type" ? "r#type" : $0.name): \(Self.type(of: $0))," }
      lines.append("}")
    }
    text = lines.joined(separator: "\n") + "\n"
  }

  private static func type(of field: Header.Field) -> String {
    guard let parts = field.declaration.firstMatch(of: #/^(.*?)\(\*\w+\)\((.*)\)$/#) else {
      return type(field.declaration.dropLast(field.name.count))
    }
    let arguments = parts.2.split(separator: ",").map { type($0.replacing(#/\w+$/#, with: "")) }
    let result = type(parts.1)
    return
      "Option<unsafe extern \"C\" fn(\(arguments.joined(separator: ", ")))\(result == "()" ? "" : " -> \(result)")>"
  }

  /// Of a C type without a name: `const char *const *`. Text is `u8` in Rust, as byte strings are.
  private static func type(_ text: some StringProtocol) -> String {
    let words = text.map { $0 == "*" ? " * " : "\($0)" }.joined().split(separator: " ")
    var isConst = false
    var type = "()"
    for word in words {
      switch word {
      case "const": isConst = true
      case "*":
        type = (isConst ? "*const " : "*mut ") + (type == "()" ? "c_void" : type)
        isConst = false
      default: type = names[String(word)] ?? String(word)
      }
    }
    return type
  }

  private static let names = [
    "void": "()", "char": "u8", "uint8_t": "u8", "uint16_t": "u16", "uint32_t": "u32", "uint64_t": "u64",
    "int32_t": "i32", "int64_t": "i64", "float": "f32", "double": "f64",
  ]
}
