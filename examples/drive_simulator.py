"""Start the embedded simulator and look at it with the plain UnrealCV client."""

import sys
from pathlib import Path

from unrealcv import Client

from unrealperson.config import SynthConfig
from unrealperson.synth.capture import launch_simulator


def main(out: Path) -> None:
    with launch_simulator(SynthConfig(people=4, people_per_batch=4, test_people=0)) as simulator:
        client = Client(simulator.address)
        client.connect()
        client.request("vrun ce AddActor")
        people = [name for name in client.request("vget /objects").split() if name.startswith("MH")]
        client.request("vset /camera/0/location 0 0 300")
        client.request("vset /camera/0/rotation -15 0 0")
        client.request("vrun ce Pause")
        for kind in ("lit", "object_mask"):
            (out / f"{kind}.png").write_bytes(client.request(f"vget /camera/0/{kind} png"))
        client.disconnect()
    print(f"{len(people)} people; the frame and its mask are in {out}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
