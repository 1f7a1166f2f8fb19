package differential

import (
	"context"
	"slices"
	"testing"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	peerpb "github.com/cilium/cilium/api/v1/peer"
	relaypb "github.com/cilium/cilium/api/v1/relay"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// TestContract holds the descriptors that sextantd serves equal to upstream's: names, numbers, types, labels, oneofs, order.
func TestContract(t *testing.T) {
	subject := startSubject(t, 1, nil)
	for _, want := range []protoreflect.FileDescriptor{
		flowpb.File_flow_flow_proto,
		observerpb.File_observer_observer_proto,
		peerpb.File_peer_peer_proto,
		relaypb.File_relay_relay_proto,
	} {
		got := served(t, subject, want.Path())
		if want, got := plain(protodesc.ToFileDescriptorProto(want)), plain(got); !proto.Equal(want, got) {
			t.Errorf("%s differs:\nwant %v\ngot  %v", want.GetName(), want, got)
		}
	}
}

// served is the descriptor of a file, by reflection.
func served(t *testing.T, subject *peer, path string) *descriptorpb.FileDescriptorProto {
	t.Helper()
	stream, err := subject.reflection.ServerReflectionInfo(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	request := &reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_FileByFilename{FileByFilename: path},
	}
	if err := stream.Send(request); err != nil {
		t.Fatal(err)
	}
	response, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	for _, encoded := range response.GetFileDescriptorResponse().GetFileDescriptorProto() {
		file := &descriptorpb.FileDescriptorProto{}
		if err := proto.Unmarshal(encoded, file); err != nil {
			t.Fatal(err)
		}
		if file.GetName() == path {
			return file
		}
	}
	t.Fatalf("%s is not served", path)
	return nil
}

// plain leaves out what is not the contract: comments, file options, the order and re-export of imports.
func plain(file *descriptorpb.FileDescriptorProto) *descriptorpb.FileDescriptorProto {
	file.SourceCodeInfo = nil
	file.Options = nil
	file.PublicDependency = nil
	slices.Sort(file.Dependency)
	for _, service := range file.Service {
		for _, method := range service.Method {
			// Upstream's methods have an empty body, which is the same as none.
			if proto.Size(method.Options) == 0 {
				method.Options = nil
			}
		}
	}
	return file
}
