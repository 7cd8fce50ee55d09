//! What generated names are made of.

/// Adjectives that anybody may be called by.
pub(super) const ADJECTIVES: [&str; 112] = [
    "able", "agile", "airy", "alert", "amber", "ample", "apt", "aware", "azure", "balmy", "bold", "brave", "bright",
    "brisk", "calm", "candid", "careful", "cheerful", "clear", "clever", "composed", "cordial", "cosy", "crisp",
    "curious", "daring", "deft", "diligent", "direct", "eager", "earnest", "easy", "elegant", "exact", "fair",
    "faithful", "fearless", "fleet", "fluent", "frank", "fresh", "friendly", "frugal", "gentle", "genuine", "glad",
    "golden", "graceful", "grand", "grateful", "handy", "hardy", "hearty", "helpful", "honest", "hopeful", "humble",
    "jolly", "jovial", "keen", "kind", "lively", "logical", "loyal", "lucid", "lucky", "mellow", "merry", "mild",
    "modest", "neat", "nimble", "noble", "open", "orderly", "patient", "placid", "playful", "polite", "precise",
    "prompt", "proud", "prudent", "quick", "quiet", "radiant", "ready", "robust", "serene", "sharp", "silver",
    "sincere", "smooth", "snowy", "sober", "spry", "steady", "sturdy", "subtle", "sunny", "swift", "tactful",
    "tender", "thorough", "tidy", "tranquil", "trusty", "upbeat", "vivid", "warm", "witty", "zesty",
];

/// People to whom the sciences around frozen ground, images, statistics and computing owe something.
pub(super) const SURNAMES: [&str; 120] = [
    "abel", "agassiz", "agnesi", "anning", "arrhenius", "babbage", "banach", "bayes", "bernoulli", "boltzmann", "boole",
    "born", "bouguer", "box", "brahe", "breiman", "cajal", "cannon", "carson", "cauchy", "cavendish", "cayley", "celsius",
    "chebyshev", "church", "copernicus", "cori", "cox", "curie", "dantzig", "darwin", "dirac", "doppler", "drygalski",
    "efron", "einstein", "elion", "erdos", "euler", "faraday", "fermat", "fermi", "fourier", "franklin", "fresnel",
    "galilei", "galois", "gauss", "germain", "gibbs", "goedel", "goodall", "hamilton", "harris", "hebb", "hermite",
    "herschel", "hilbert", "hodgkin", "hopper", "hubble", "humboldt", "huygens", "hypatia", "jacobi", "johnson",
    "kalman", "kelvin", "kepler", "khayyam", "kolmogorov", "koppen", "kovalevskaya", "lagrange", "lamarr", "laplace",
    "leavitt", "legendre", "lehmann", "leibniz", "lovelace", "lyell", "markov", "maxwell", "mcclintock", "meitner",
    "mendel", "mercator", "minkowski", "mitchell", "muller", "murchison", "nansen", "neumann", "newton", "nightingale",
    "noether", "nyquist", "ohm", "pascal", "payne", "planck", "poincare", "poisson", "raman", "ramanujan", "riemann",
    "rosenblatt", "sagan", "shannon", "snow", "somerville", "tharp", "turing", "volta", "wegener", "wiener", "wright",
    "wu", "yonath",
];
