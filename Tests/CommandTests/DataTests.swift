import Foundation
import Testing

private let sources = repository + "/Tests/DatasetsTests/Fixtures"

@Suite struct `ablate data` {
  @Test func `imports, shows and draws`() throws {
    let scratch = try Scratch()
    let imported = try Command.run(
      [
        "data", "import", "coco", sources + "/coco/instances.json", "--images", sources + "/coco/images", "--out",
        "set",
        "--part-separator", ":", "--quiet",
      ], in: scratch)
    #expect(imported.status == 0, "\(imported.errors)")
    #expect(imported.output.hasPrefix("set: 3 examples with "))
    #expect(imported.output.contains("left out: 15 annotations of crowds; first: "))
    let shown = try Command.run(
      ["data", "show", "set", "--model", mha, "--sheet", "sheet.svg", "--quiet"], in: scratch)
    #expect(shown.status == 0, "\(shown.errors)")
    #expect(shown.output.hasPrefix("set: 3 examples of 3 images, 3 parts\nimages: 1 of 61 x 83, 1 of 75 x 50, 1 of 96"))
    #expect(shown.output.contains("class    examples  label  parts  pixels each  pieces  any  coverage 0.5  centre"))
    let sheet = try scratch.read("sheet.svg")
    #expect(sheet.components(separatedBy: "<image ").count == 4)
    #expect(sheet.components(separatedBy: "class=\"input\"").count == 4 && sheet.contains("patches that \(mha) has"))
    let patches = sheet.matches(of: /d="([^"]*)" class="patch"/).map { $0.1.count { $0 == "M" } }
    #expect(patches.count == 3 && patches.contains { $0 > 0 })
    _ = try Command.run(["data", "show", "set", "--sheet", "plain.svg", "--quiet"], in: scratch)
    #expect(try !scratch.read("plain.svg").contains("class=\"input\""))
    let json = try Command.run(["data", "show", "set", "--json", "--quiet"], in: scratch)
    let object = try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any]
    #expect(object?["schema"] as? String == "ablate.dataset/1" && object?["examples"] as? Int == 3)
  }

  @Test(arguments: [
    (
      ["import", "ppp", "/nowhere", "--images", "/nowhere", "--out", "set"],
      Refusal("no labels", 66, "there is no such folder", at: "/nowhere")
    ),
    (
      ["import", "coco", sources + "/goldens.json", "--images", sources, "--out", "set", "--quiet"],
      Refusal("not COCO's JSON", 65, "'images' is missing", at: "goldens.json", remedy: "instances JSON")
    ),
    (
      ["import", "masks", sources + "/ppp", "--images", sources + "/coco/images", "--out", "set", "--quiet"],
      Refusal("no mask belongs to an image", 65, "no example is left", at: "set", remedy: "nothing was written")
    ),
    (["show", "/nowhere"], Refusal("no dataset", 66, "no metadata.jsonl", at: "/nowhere")),
  ])
  func `refuses what it cannot use, and leaves nothing`(arguments: [String], refusal: Refusal) throws {
    let scratch = try Scratch()
    refusal.expect(try Command.run(["data"] + arguments, in: scratch))
  }

  @Test func `templates need their image and known placeholders`() throws {
    for (option, value) in [("--prompt", "no image"), ("--answer", "{part}"), ("--min-area", "0")] {
      let scratch = try Scratch()
      let outcome = try Command.run(
        ["data", "import", "masks", "x", "--images", "y", "--out", "set", option, value], in: scratch)
      #expect(outcome.status == 64 && outcome.made.isEmpty, "\(option): \(outcome.errors)")
    }
  }
}
