/// The universal id of a pixel in Panoptic Parts: `sid`, `sid * 1000 + iid`, or `(sid * 1000 + iid) * 100 + pid`, told
/// apart by size (https://panoptic-parts.readthedocs.io/en/stable/label_format.html, `decode_uids` in panoptic_parts).
package struct PanopticUID: Equatable {
  /// The scene class, 0: unlabelled.
  package let sid: Int
  /// The instance; nil where the pixel has a class only.
  package let iid: Int?
  /// The part; nil where there is none, 0 included.
  package let pid: Int?

  /// nil outside 0...9,999,999.
  package init?(_ uid: Int32) {
    let uid = Int(uid)
    switch uid {
    case 0...99: (sid, iid, pid) = (uid, nil, nil)
    case 100...99_999: (sid, iid, pid) = (uid / 1000, uid % 1000, nil)
    case 100_000...9_999_999: (sid, iid, pid) = (uid / 100_000, uid / 100 % 1000, uid % 100 == 0 ? nil : uid % 100)
    default: return nil
    }
  }
}

/// Names of PASCAL Panoptic Parts, from `ppp_datasetspec.yaml` of panoptic_parts 2.0rc6 (Apache-2.0).
package enum PanopticPartsNames {
  /// Scene classes with instances, sid 1...20, and their parts in the order of their ids. `engine*10` takes ten ids, one
  /// for each engine that can be told apart.
  private static let table = """
    aeroplane: body stern lwing rwing tail engine*10 wheel*10
    bicycle: fwheel bwheel saddle handlebar chainwheel headlight
    bird: head leye reye beak torso neck lwing rwing lleg lfoot rleg rfoot tail
    boat:
    bottle: cap body
    bus: frontside leftside rightside backside roofside leftmirror rightmirror fliplate bliplate door*10 wheel*10 \
    headlight*10 window*20
    car: frontside leftside rightside backside roofside leftmirror rightmirror fliplate bliplate door*10 wheel*10 \
    headlight*10 window*20
    cat: head leye reye lear rear nose torso neck lfleg lfpa rfleg rfpa lbleg lbpa rbleg rbpa tail
    chair:
    cow: head leye reye lear rear muzzle lhorn rhorn torso neck lfuleg lflleg rfuleg rflleg lbuleg lblleg rbuleg rblleg \
    tail
    table:
    dog: head leye reye lear rear nose torso neck lfleg lfpa rfleg rfpa lbleg lbpa rbleg rbpa tail muzzle
    horse: head leye reye lear rear muzzle lfho rfho lbho rbho torso neck lfuleg lflleg rfuleg rflleg lbuleg lblleg \
    rbuleg rblleg tail
    motorbike: fwheel bwheel handlebar saddle headlight*10
    person: head leye reye lear rear lebrow rebrow nose mouth hair torso neck llarm luarm lhand rlarm ruarm rhand llleg \
    luleg lfoot rlleg ruleg rfoot
    pottedplant: pot plant
    sheep: head leye reye lear rear muzzle lhorn rhorn torso neck lfuleg lflleg rfuleg rflleg lbuleg lblleg rbuleg \
    rblleg tail
    sofa:
    train: head hfrontside hleftside hrightside hbackside hroofside headlight*10 coach*10 cfrontside*10 cleftside*10 \
    crightside*10 cbackside*10 croofside*10
    tvmonitor: screen frame
    """

  /// What is left of a name without left, right, front, back, upper, lower, head (of a train) and coach. Names that are
  /// not listed have none of these.
  private static let stripped = """
    wing: lwing rwing
    wheel: fwheel bwheel
    eye: leye reye
    ear: lear rear
    eyebrow: lebrow rebrow
    leg: lleg rleg lfleg rfleg lbleg rbleg lfuleg lflleg rfuleg rflleg lbuleg lblleg rbuleg rblleg llleg luleg rlleg ruleg
    foot: lfoot rfoot
    paw: lfpa rfpa lbpa rbpa
    hoof: lfho rfho lbho rbho
    horn: lhorn rhorn
    arm: llarm luarm rlarm ruarm
    hand: lhand rhand
    front: frontside hfrontside cfrontside
    side: leftside rightside hleftside hrightside cleftside crightside
    back: backside hbackside cbackside
    roof: roofside hroofside croofside
    mirror: leftmirror rightmirror
    license plate: fliplate bliplate
    """

  private static func lines(_ text: String) -> [(head: String, words: [String])] {
    text.split(separator: "\n").map { line in
      let halves = line.split(separator: ":", omittingEmptySubsequences: false)
      return (String(halves[0]), halves[1].split(separator: " ").map(String.init))
    }
  }

  /// By sid - 1: the class, and the raw name of each pid from 1.
  package static let classes: [(name: String, parts: [String])] = lines(table).map { name, words in
    let parts = words.flatMap { word in
      let halves = word.split(separator: "*").map(String.init)
      return Array(repeating: halves[0], count: halves.count == 2 ? Int(halves[1]) ?? 1 : 1)
    }
    return (name, parts)
  }

  private static let words = Dictionary(
    lines(stripped).flatMap { word, names in names.map { ($0, word) } }, uniquingKeysWith: { first, _ in first })

  /// `leg` for `lfuleg`.
  package static func word(for name: String) -> String { words[name] ?? name }
}
