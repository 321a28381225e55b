"""Make synthetic people and print what the labels know about them."""

from unrealperson.synth.people.person import make_person


def main() -> None:
    for number in range(3):
        person = make_person(seed=0, version=1, number=number)
        joints = person.keypoints(person.bones(0.25))
        print(f"person {number}: {len(person.positions)} vertices, nose {joints[0, 2]:.2f} m above ground")
        print("   ", person.attributes)


if __name__ == "__main__":
    main()
