import Foundation

extension JSON {
  /// From what `JSONSerialization` makes; objects come sorted by key.
  package init?(_ value: Any?) {
    switch value {
    case is NSNull: self = .null
    case let text as String: self = .string(text)
    case let number as NSNumber:
      if isBoolean(number) {
        self = .bool(number.boolValue)
      } else if let int = Int(exactly: number.doubleValue) {
        self = .int(int)
      } else {
        self = .double(number.doubleValue)
      }
    case let list as [Any]: self = .array(list.compactMap { JSON($0) })
    case let fields as [String: Any]:
      self = .object(fields.keys.sorted().compactMap { key in JSON(fields[key]).map { (key, $0) } })
    default: return nil
    }
  }
}

/// JSONSerialization gives both `true` and `1` as NSNumber; only the Objective-C type tells them apart.
private func isBoolean(_ number: NSNumber) -> Bool { String(cString: number.objCType) == "c" }
