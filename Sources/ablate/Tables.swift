import Foundation
import PluginHost
import PluginRuntime

/// What probes emitted, as tab-separated tables behind the command's own answer.
func printTables(_ outcome: ConditionOutcome) {
  for table in outcome.tables {
    print("\n\(table.plugin): \(table.table)")
    print(table.columns.map(\.name).joined(separator: "\t"))
    for row in 0..<(table.columns.first?.values.count ?? 0) {
      print(table.columns.map { $0.values.text(row) }.joined(separator: "\t"))
    }
  }
}

extension ConditionOutcome.Table {
  var json: [String: Any] {
    let columns = columns.map { column in
      ["name": column.name, "values": (0..<column.values.count).map { column.values.json($0) }] as [String: Any]
    }
    return ["plugin": plugin, "table": table, "columns": columns]
  }
}

extension Column.Values {
  fileprivate func text(_ row: Int) -> String {
    switch self {
    case .bools(let all): "\(all[row])"
    case .integers(let all): "\(all[row])"
    case .numbers(let all): String(format: "%.6g", all[row])
    case .strings(let all): all[row]
    }
  }

  /// JSON knows no NaN.
  fileprivate func json(_ row: Int) -> Any {
    switch self {
    case .bools(let all): all[row]
    case .integers(let all): all[row]
    case .numbers(let all): all[row].isFinite ? all[row] : NSNull()
    case .strings(let all): all[row]
    }
  }
}
