/// Which rows of a table belong together: the parts and questions of one image are not independent of each other.
struct Clusters {
  /// Row indices of each cluster; clusters sorted by name, so that no result depends on the order of the rows.
  let members: [[Int]]

  init(_ names: [String]) {
    members = Dictionary(grouping: names.indices) { names[$0] }.sorted { $0.key < $1.key }.map(\.value)
  }

  var count: Int { members.count }

  /// The sum of `values` in each cluster.
  func sums(_ values: [Double]) -> [Double] { members.map { $0.reduce(0) { $0 + values[$1] } } }
}
